//! As many store headers as one database is to bear, in PostgreSQL. Stores that are measured are made as a host makes them; the
//! others are copies of one of those under other ids, made by the server.

use std::hint::black_box;

use deedbox::{
    host::{
        Config, PostgresOptions, PostgresStorage, Storage as _,
        postgres::{
            self, NoTls,
            tokio_postgres::{Client, Row, Statement, types::ToSql},
        },
    },
    parts::{
        cose::sha256,
        model::{ObjectId, StoreId},
    },
};
use pollster::block_on;
use tokio::runtime::Runtime;

use crate::{
    Outcome, Report, Sizes, Turns, each, memory,
    people::{self, BODY, D, HEAD, commit, hash, object, share},
    time,
};

/// Stores that are measured: the first half ours, the second bare.
const MEASURED: usize = 64;
const WRITERS: usize = 8;
/// Bytes of a database, with its indexes.
const SIZE: &str = "SELECT pg_database_size(current_database())";

pub(crate) fn measure(report: &mut Report, sizes: &Sizes) -> Outcome<()> {
    let Ok(server) = std::env::var("DEEDBOX_POSTGRES") else {
        println!("\nPostgreSQL: skipped, as DEEDBOX_POSTGRES names no server; `.ci/run load` starts one");
        return Ok(());
    };
    let server: postgres::Config = server.parse().map_err(|_| "DEEDBOX_POSTGRES is no connection string")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let names = ["stores", "few", "shares"].map(|name| format!("deedbox_load_{}_{name}", std::process::id()));
    let admin = connect(&runtime, &server)?;
    let clear = || {
        names
            .iter()
            .try_for_each(|name| block_on(admin.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))))
    };
    for name in &names {
        block_on(admin.batch_execute(&format!("CREATE DATABASE {name}")))?;
    }
    let measured = of_databases(report, sizes, &runtime, &server, &names);
    clear()?;
    measured
}

fn of_databases(
    report: &mut Report,
    sizes: &Sizes,
    runtime: &Runtime,
    server: &postgres::Config,
    [stores, few, shares]: &[String; 3],
) -> Outcome<()> {
    report.part("PostgreSQL, microseconds");
    let database = |name: &str| server.clone().dbname(name).clone();
    let open = |name: &str| -> Outcome<Kept> {
        let options = PostgresOptions::new(database(name), database(shares));
        let host = people::host(block_on(PostgresStorage::open(options, NoTls))?, Config::default());
        let owner = people::owner();
        let objects: Vec<ObjectId> = (0..100).map(object).collect();
        share(MEASURED, |n| {
            people::make(&host, &owner, n)?;
            commit(host.storage(), people::store(n), 1, &objects)
        })?;
        let bare = (0..WRITERS).map(|_| Bare::new(connect(runtime, &database(name))?)).collect::<Outcome<_>>()?;
        Ok(Kept { host, bare, at: vec![1; MEASURED], stores: MEASURED as u64 })
    };
    let least = sizes.headers.min(1_000);
    let (mut many, mut few) = (open(stores)?, open(few)?);
    many.fill(least)?;
    few.fill(least)?;
    let rounds = sizes.rounds.min(500);
    let first = many.size()?;
    let mut size = least;
    loop {
        println!("with {size} stores");
        let turns = many.commits(rounds)?;
        report.turns("  commit of one record", &turns, Some(0.8));
        let turns = many.gets(rounds, 1)?;
        report.turns("  get of one record, with its head", &turns, Some(0.8));
        let turns = many.gets(rounds, 100)?;
        report.turns("  get of a hundred", &turns, Some(0.8));
        let turns = Turns::take(rounds, |round| many.header(round), |round| many.bare_header(round))?;
        report.turns("  any store's header", &turns, Some(0.8));
        // here "ours" are many stores, and "bare" are few: 1 is as fast
        let turns = versus(&mut many, &mut few, rounds)?;
        report.turns(&format!("  commit: {size} stores / {least}"), &turns[0], Some(0.8));
        report.turns(&format!("  get: {size} stores / {least}"), &turns[1], Some(0.8));
        // what the database itself takes for finding one of more is the next line's
        report.turns(&format!("  any store's header: {size} stores / {least}"), &turns[2], None);
        report.turns(&format!("  bare select of any header: {size} stores / {least}"), &turns[3], None);
        if size > least {
            let slope = |turns: &Turns| turns.ratio().recip().ln() / (size as f64 / least as f64).ln();
            let slopes = turns.each_ref().map(|turns| format!("{:+.3}", slope(turns)));
            report.figure("  slopes: cost grows with the stores' number to the power", &slopes.join(", "));
            let more = (many.size()? - first) as f64 / (size - least) as f64;
            report.figure("  on disk, each further store", &format!("{:.2} KiB", more / 1_024.0));
        }
        if size >= sizes.headers {
            break;
        }
        size = (size * 10).min(sizes.headers);
        let seconds = time(|| many.fill(size))?;
        report.figure(&format!("made up to {size}"), &format!("{seconds:.0} s"));
    }
    many.writers(report, if rounds < 100 { 2 } else { 20 })?;
    let before = memory();
    let count = usize::try_from(sizes.headers.min(10_000))?;
    share(count, |n| many.header(n))?;
    report.figure("memory of the host for each store asked for", &each(before, memory(), count));
    let commits = 100;
    let before = many.flushes()?;
    (0..commits).try_for_each(|_| many.commit(0))?;
    let flushes = many.flushes()? - before;
    report.figure("flushes of the log for each commit", &format!("{:.2}", flushes as f64 / commits as f64));
    Ok(())
}

/// Stores in one database, by the API and by hand.
struct Kept {
    host: deedbox::host::Host<PostgresStorage, people::Clock>,
    bare: Vec<Bare>,
    /// The head in force of each measured store.
    at: Vec<u64>,
    stores: u64,
}

/// Filler `n`'s id, in SQL.
const FILLER: &str = "substring(sha256(n::text::bytea) for 16)";

fn filler(n: usize) -> StoreId {
    StoreId::from_bytes(sha256(n.to_string().as_bytes()).first_chunk().copied().unwrap_or_default())
}

impl Kept {
    fn admin(&self) -> Outcome<&Client> {
        self.bare.first().map(|bare| &bare.client).ok_or_else(|| "no connection".into())
    }

    /// Makes copies of the first store until there are `size`.
    fn fill(&mut self, size: u64) -> Outcome<()> {
        let template: String = people::id(0).iter().map(|byte| format!("{byte:02x}")).collect();
        let (from, to) = (self.stores + 1, size);
        let of = |table: &str, columns: &str, values: &str| {
            format!(
                "INSERT INTO deedbox.{table} (store, {columns}) SELECT {FILLER}, {values}
                 FROM deedbox.{table} t, generate_series({from}, {to}) n WHERE t.store = '\\x{template}';"
            )
        };
        let totals =
            "stamp, header_count, header_bytes, dataset_count, dataset_bytes, object_count, object_bytes, mail_count,
            mail_bytes, blob_count, blob_bytes, row_count, row_bytes";
        let script = [
            "SET synchronous_commit = off;".to_owned(),
            format!(
                "INSERT INTO deedbox.name (name, store) SELECT {FILLER}, {FILLER} FROM generate_series({from}, {to}) n;"
            ),
            // what a copy has is its header and its capability
            of("store", totals, "stamp, header_count, header_bytes, 0, 0, 0, 0, 0, 0, 0, 0, row_count, row_bytes"),
            of("header", "version, body", "version, body"),
            of("small", "tbl, key, version, body", "tbl, key, version, body"),
            "SET synchronous_commit = on;".to_owned(),
        ];
        if to >= from {
            for statement in script {
                block_on(self.admin()?.batch_execute(&statement))?;
            }
            // so that neither happens while something is measured
            block_on(self.admin()?.batch_execute("VACUUM ANALYZE"))?;
            block_on(self.admin()?.batch_execute("CHECKPOINT"))?;
            self.stores = size;
        }
        Ok(())
    }

    fn size(&self) -> Outcome<i64> {
        Ok(block_on(self.admin()?.query_one(SIZE, &[]))?.try_get(0)?)
    }

    /// Flushes that the server has counted. Connections tell what they did within a second, or when they are used again.
    fn flushes(&self) -> Outcome<i64> {
        std::thread::sleep(std::time::Duration::from_millis(1_500));
        for _ in 0..16 {
            block_on(self.host.storage().header(people::store(0)))?;
        }
        std::thread::sleep(std::time::Duration::from_millis(1_500));
        Ok(block_on(self.admin()?.query_one("SELECT wal_sync FROM pg_stat_wal", &[]))?.try_get(0)?)
    }

    fn commit(&mut self, round: usize) -> Outcome<()> {
        let n = round % (MEASURED / 2);
        self.at[n] += 1;
        commit(self.host.storage(), people::store(n), self.at[n], &[object(round % 100)])
    }

    fn get(&self, round: usize, count: usize) -> Outcome<()> {
        let ids: Vec<ObjectId> = (0..count).map(|n| object((round + n) % 100)).collect();
        let found = block_on(self.host.storage().get(people::store(round % (MEASURED / 2)), D, &ids))?;
        if found.rows.iter().flatten().count() == count { Ok(()) } else { Err("an object is missing".into()) }
    }

    /// One of the copies; their ids lie in no order.
    fn copy(&self, n: usize) -> Outcome<StoreId> {
        let copies = usize::try_from(self.stores)?.saturating_sub(MEASURED).max(1);
        Ok(filler(MEASURED + 1 + n % copies))
    }

    fn header(&self, n: usize) -> Outcome<()> {
        black_box(block_on(self.host.storage().header(self.copy(n)?))?);
        Ok(())
    }

    fn bare_header(&self, n: usize) -> Outcome<()> {
        let bare = self.bare.first().ok_or("no connection")?;
        // another one: who reads second finds its pages read
        let id = self.copy(n + 500_000)?;
        let row = block_on(bare.client.query_one(&bare.header, &[&id.as_bytes().as_slice()]))?;
        black_box((row.try_get::<_, i64>(0)?, row.try_get::<_, Vec<u8>>(1)?));
        Ok(())
    }

    fn commits(&mut self, rounds: usize) -> Outcome<Turns> {
        let mut at = self.at.split_off(MEASURED / 2);
        let mut own = std::mem::take(&mut self.at);
        let storage = self.host.storage();
        let bare = self.bare.first().ok_or("no connection")?;
        let half = MEASURED / 2;
        let turns = Turns::take(
            rounds,
            |round| {
                let n = round % half;
                own[n] += 1;
                commit(storage, people::store(n), own[n], &[object(round % 100)])
            },
            |round| {
                let n = round % half;
                at[n] += 1;
                block_on(bare.write(half + n, at[n], object(round % 100)))
            },
        )?;
        own.append(&mut at);
        self.at = own;
        Ok(turns)
    }

    fn gets(&self, rounds: usize, count: usize) -> Outcome<Turns> {
        let bare = self.bare.first().ok_or("no connection")?;
        Turns::take(
            rounds,
            |round| self.get(round, count),
            |round| {
                let ids: Vec<ObjectId> = (0..count).map(|n| object((round + n) % 100)).collect();
                block_on(bare.read(MEASURED / 2 + round % (MEASURED / 2), &ids))
            },
        )
    }

    fn writers(&mut self, report: &mut Report, rounds: usize) -> Outcome<()> {
        const EACH: usize = 20;
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        let half = MEASURED / 2;
        for round in 0..2 * rounds {
            let is_ours = round % 4 == 0 || round % 4 == 3;
            let first = if is_ours { 0 } else { half };
            let (storage, bare) = (self.host.storage(), &self.bare);
            let at = self.at.iter_mut().skip(first).take(WRITERS);
            let seconds = time(|| {
                std::thread::scope(|scope| {
                    let threads: Vec<_> = at
                        .zip(bare)
                        .enumerate()
                        .map(|(n, (at, bare))| {
                            scope.spawn(move || {
                                (0..EACH).try_for_each(|_| {
                                    *at += 1;
                                    if is_ours {
                                        commit(storage, people::store(n), *at, &[object(n)])
                                    } else {
                                        block_on(bare.write(first + n, *at, object(n)))
                                    }
                                })
                            })
                        })
                        .collect();
                    threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked")?)
                })
            })?;
            if is_ours { &mut ours } else { &mut theirs }.push((EACH * WRITERS) as f64 / seconds);
        }
        report.rates("commits by eight writers, a store each", &ours, &theirs, 0.8);
        Ok(())
    }
}

/// The same operations of ours in two databases by turns: commit, get, any header.
fn versus(many: &mut Kept, few: &mut Kept, rounds: usize) -> Outcome<[Turns; 4]> {
    // a server that has seen both short and long reads plans them once, and not each time: both have
    for kept in [&*many, &*few] {
        (0..20).try_for_each(|round| kept.get(round, if round % 2 == 0 { 1 } else { 100 }))?;
    }
    let commits = Turns::take(rounds, |round| many.commit(round), |round| few.commit(round))?;
    let gets = Turns::take(rounds, |round| many.get(round, 1), |round| few.get(round, 1))?;
    let headers = Turns::take(rounds, |round| many.header(round + rounds), |round| few.header(round + rounds))?;
    // as much later as makes them others
    let bare = |kept: &Kept, round: usize| kept.bare_header(round + 2 * rounds);
    let bare_headers = Turns::take(rounds, |round| bare(many, round), |round| bare(few, round))?;
    Ok([commits, gets, headers, bare_headers])
}

fn connect(runtime: &Runtime, config: &postgres::Config) -> Outcome<Client> {
    let (client, connection) = runtime.block_on(config.connect(NoTls))?;
    runtime.spawn(async move { drop(connection.await) });
    Ok(client)
}

/// The same row work as anybody would write it by hand, in as few round trips.
struct Bare {
    client: Client,
    lock: Statement,
    head: Statement,
    length: Statement,
    put: Statement,
    set_head: Statement,
    new_head: Statement,
    totals: Statement,
    in_force: Statement,
    find: Statement,
    header: Statement,
}

impl Bare {
    fn new(client: Client) -> Outcome<Self> {
        let prepare = |sql: &'static str| block_on(client.prepare(sql));
        let lock = prepare("SELECT * FROM deedbox.store WHERE store = $1 FOR UPDATE")?;
        let head = prepare("SELECT seq, hash, compacted FROM deedbox.head WHERE store = $1 AND ds = $2")?;
        let length = prepare("SELECT octet_length(body) FROM deedbox.object WHERE store = $1 AND ds = $2 AND id = $3")?;
        let put = prepare(
            "INSERT INTO deedbox.object (store, ds, id, seq, kind, hash, body) VALUES ($1, $2, $3, $4, 1, $5, $6)
             ON CONFLICT (store, ds, id) DO UPDATE SET seq = excluded.seq, hash = excluded.hash, body = excluded.body",
        )?;
        let set_head = prepare("UPDATE deedbox.head SET seq = $3, hash = $4 WHERE store = $1 AND ds = $2")?;
        let new_head = prepare("INSERT INTO deedbox.heads (store, ds, seq, hash, body) VALUES ($1, $2, $3, $4, $5)")?;
        let totals =
            prepare("UPDATE deedbox.store SET stamp = $2, dataset_bytes = dataset_bytes + 300 WHERE store = $1")?;
        let in_force = prepare(
            "SELECT h.seq, h.hash, h.compacted, b.hash, b.body FROM deedbox.head h JOIN deedbox.heads b
             ON b.store = h.store AND b.ds = h.ds AND b.seq = h.seq WHERE h.store = $1 AND h.ds = $2",
        )?;
        let find = prepare(
            "SELECT id, seq, kind, hash, body FROM deedbox.object WHERE store = $1 AND ds = $2 AND id = ANY($3)",
        )?;
        let header = prepare(
            "SELECT h.version, h.body FROM deedbox.store s JOIN deedbox.header h ON h.store = s.store WHERE s.store = $1",
        )?;
        Ok(Self { client, lock, head, length, put, set_head, new_head, totals, in_force, find, header })
    }

    async fn write(&self, n: usize, at: u64, object: ObjectId) -> Outcome<()> {
        let (store, d, id, hash) = (people::id(n), D.as_bytes().as_slice(), object.as_bytes().as_slice(), hash(at).0);
        let (store, hash, seq) = (store.as_slice(), hash.as_slice(), i64::try_from(at)?);
        let client = &self.client;
        type Values<'a, const N: usize> = [&'a (dyn ToSql + Sync); N];
        let (of_store, of_head): (Values<'_, 1>, Values<'_, 2>) = ([&store], [&store, &d]);
        let of_object: Values<'_, 3> = [&store, &d, &id];
        let (begun, locked, head, length) = tokio::join!(
            client.batch_execute("BEGIN"),
            client.query(&self.lock, &of_store),
            client.query(&self.head, &of_head),
            client.query(&self.length, &of_object),
        );
        begun?;
        if [locked?, head?, length?].iter().any(Vec::is_empty) {
            return Err("a row is missing".into());
        }
        let (body, head) = (BODY.as_slice(), HEAD.as_slice());
        let body_hash = [7_u8; 32].as_slice();
        let put: Values<'_, 6> = [&store, &d, &id, &seq, &body_hash, &body];
        let (set, new): (Values<'_, 4>, Values<'_, 5>) = ([&store, &d, &seq, &hash], [&store, &d, &seq, &hash, &head]);
        let totals: Values<'_, 2> = [&store, &seq];
        let (put, set, new, totals, done) = tokio::join!(
            client.execute(&self.put, &put),
            client.execute(&self.set_head, &set),
            client.execute(&self.new_head, &new),
            client.execute(&self.totals, &totals),
            client.batch_execute("COMMIT"),
        );
        done?;
        if [put?, set?, new?, totals?] == [1; 4] { Ok(()) } else { Err("a row was not written".into()) }
    }

    async fn read(&self, n: usize, ids: &[ObjectId]) -> Outcome<()> {
        let (store, d) = (people::id(n), D.as_bytes().as_slice());
        let store = store.as_slice();
        let asked: Vec<&[u8]> = ids.iter().map(|id| id.as_bytes().as_slice()).collect();
        let client = &self.client;
        let (of_head, of_rows): ([&(dyn ToSql + Sync); 2], [&(dyn ToSql + Sync); 3]) =
            ([&store, &d], [&store, &d, &asked]);
        let (begun, head, rows, done) = tokio::join!(
            client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
            client.query_one(&self.in_force, &of_head),
            client.query(&self.find, &of_rows),
            client.batch_execute("COMMIT"),
        );
        begun?;
        done?;
        let body = |row: &Row| row.try_get::<_, Vec<u8>>(4);
        black_box(body(&head?)?);
        let bodies = rows?.iter().map(body).collect::<Result<Vec<_>, _>>()?;
        if black_box(bodies).len() == ids.len() { Ok(()) } else { Err("an object is missing".into()) }
    }
}
