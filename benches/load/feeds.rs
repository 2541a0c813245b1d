//! Many open feeds on one process, over sockets of this machine. The host is a process of its own, so that its memory is its
//! own, and so are its clients, so that neither needs two descriptors a feed.

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::{Duration, Instant, SystemTime},
};

use deedbox::{
    host::{Config, Host, Method, Rate, Request, ServeLimits, SqliteStorage, router},
    parts::{
        cose::{LocalSigner, sha256},
        host::wire::{CommitBody, PartBody},
        model::Seq,
        store::{HeadHash, Mode},
    },
};
use pollster::block_on;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};

use crate::{
    Outcome, Report, Sizes, each, memory, micros,
    people::{self, Clock, D, ORIGIN},
    percentile, processor, time,
};

pub(crate) const SERVER: &str = "feeds-server";
pub(crate) const CLIENT: &str = "feeds-client";

/// Starts this program again with as many descriptors as the system allows it.
fn again(words: &[&str]) -> Outcome<Command> {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n $(ulimit -Hn); exec \"$0\" \"$@\""]).arg(std::env::current_exe()?).args(words);
    command.stdin(Stdio::piped());
    Ok(command)
}

/// Ends this process when whoever started it is gone, in whatever way: then its input is closed.
fn end_with_the_parent() {
    std::thread::spawn(|| {
        // nothing is ever written there
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(3);
    });
}

/// Descriptors that this process may have.
fn descriptors() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

pub(crate) fn measure(report: &Report, sizes: &Sizes, folder: &Path) -> Outcome<()> {
    let (feeds, idle) = (sizes.feeds.to_string(), sizes.idle.as_secs().to_string());
    for way in ["apart", "together"] {
        report.part(&format!(
            "Feeds, {}",
            if way == "apart" { "one of each store, in SQLite" } else { "all of one store, in SQLite" }
        ));
        let folder = folder.join(way);
        let folder = folder.to_str().ok_or("the folder's name is not text")?;
        let mut server = again(&[SERVER, way, &feeds, &idle, folder])?.spawn()?;
        // `wait` would close the input at once
        let input = server.stdin.take();
        let ended = server.wait()?;
        drop(input);
        if !ended.success() {
            return Err("the host with the feeds failed".into());
        }
    }
    Ok(())
}

/// What a client saw: which feed, which head, when.
type Seen = (usize, u64, SystemTime);

struct Served {
    host: Arc<Host<SqliteStorage, Clock>>,
    owner: LocalSigner,
    /// The head in force of each store.
    heads: Mutex<HashMap<usize, (u64, Vec<u8>)>>,
}

impl Served {
    /// Commits to the `n`th store as its owner does; returns when it was done.
    fn commit(&self, n: usize) -> Outcome<(u64, SystemTime)> {
        let s = people::store(n);
        let held = self.heads.lock().unwrap_or_else(PoisonError::into_inner).remove(&n);
        let (before, expect) = match &held {
            Some((at, head)) => (*at, Some(HeadHash(sha256(head)))),
            None => (0, None),
        };
        let head = people::head(&self.owner, s, before + 1, held.as_ref().map(|(_, head)| head.as_slice()))?;
        let seq = Seq::new(before + 1).ok_or("not a sequence number")?;
        let body = CommitBody::new(vec![PartBody::new(D, expect, seq, &head, Mode::Next)]).to_bytes();
        let target = format!("/v1/stores/{s}/commit");
        let proof = people::proof(&self.owner, n, Method::Post, ORIGIN, &target, &body)?;
        let proof = Some(proof.as_slice());
        let request =
            Request { method: Method::Post, origin: ORIGIN, target: &target, body: &body, range: None, proof };
        let reply = block_on(self.host.call(request))?;
        let done = SystemTime::now();
        if reply.status != 204 {
            return Err("another head is in force".into());
        }
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).insert(n, (before + 1, head));
        Ok((before + 1, done))
    }
}

/// `feeds-server apart|together FEEDS IDLE FOLDER`
pub(crate) fn server(words: &[String]) -> Outcome<()> {
    let [way, feeds, idle, folder] = words else { return Err("the host wants four words".into()) };
    end_with_the_parent();
    let (wanted, idle, folder) = (feeds.parse::<usize>()?, Duration::from_secs(idle.parse()?), Path::new(folder));
    let is_apart = way == "apart";
    // what the stores that are open need, and some besides
    let feeds = wanted.min(descriptors().map_or(wanted, |most| most.saturating_sub(2_500)));
    let report = Report { judges: false, short: 0 };
    if feeds < wanted {
        report.figure("fewer than wanted, for want of descriptors (ulimit -n)", &feeds.to_string());
    }
    let mut config = Config::default();
    config.rate = Rate { per_second: 1 << 20, burst: 1 << 30 };
    if !is_apart {
        (config.feeds_per_store, config.feeds_per_capability) = (feeds, feeds);
    }
    let host = Arc::new(people::host(SqliteStorage::open(folder.join("stores"), folder.join("shares"))?, config));
    let served = Served { host: Arc::clone(&host), owner: people::owner(), heads: Mutex::default() };
    let stores = if is_apart { feeds } else { 1 };
    people::share(stores, |n| {
        people::make(&host, &served.owner, n)?;
        served.commit(n).map(drop)
    })?;

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
    let address = listener.local_addr()?.to_string();
    let mut limits = ServeLimits::default();
    limits.connections = feeds + 64;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let closing = Arc::clone(&host);
    let serving = runtime.spawn(deedbox::host::serve(
        listener,
        router(Arc::clone(&host), ORIGIN),
        limits,
        async move { drop(stopped.await) },
        move || closing.close(),
    ));

    let before = memory();
    let mut client =
        again(&[CLIENT, &address, &feeds.to_string(), &stores.to_string()])?.stdout(Stdio::piped()).spawn()?;
    let (tell, told) = mpsc::channel::<Seen>();
    let lines = BufReader::new(client.stdout.take().ok_or("the client has no output")?).lines();
    let reading = std::thread::spawn(move || -> Outcome<()> {
        for line in lines {
            let line = line?;
            let words: Vec<&str> = line.split(' ').collect();
            let [feed, seq, nanos] = words[..] else { return Err("the client said something else".into()) };
            let at = SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos.parse()?);
            if tell.send((feed.parse()?, seq.parse()?, at)).is_err() {
                break;
            }
        }
        Ok(())
    });
    let wait = |count: usize| -> Outcome<Vec<Seen>> {
        (0..count).map(|_| Ok(told.recv_timeout(Duration::from_secs(120))?)).collect()
    };
    // each begins with the head in force
    let opening = time(|| wait(feeds).map(drop))?;
    report.figure("open on one process", &format!("{feeds}, opened at {:.0} a second", feeds as f64 / opening));
    report.figure("memory of an open feed", &each(before, memory(), feeds));
    let threads = std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    report.figure("threads of the process", &threads.to_string());
    if let Some(took) = processor() {
        let began = Instant::now();
        std::thread::sleep(idle);
        let share = (processor().unwrap_or(took) - took) / began.elapsed().as_secs_f64().max(1e-9);
        if !idle.is_zero() {
            report.figure("processor while nothing happens", &format!("{:.0} % of one core", share * 100.0));
        }
    }

    let rounds = if idle.is_zero() {
        2
    } else if is_apart {
        500
    } else {
        20
    };
    let (mut first, mut middle, mut last) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        // spread over all of them
        let n = if is_apart { round * 7_919 % feeds } else { 0 };
        let (seq, done) = served.commit(n)?;
        let seen = wait(if is_apart { 1 } else { feeds })?;
        if seen.iter().any(|(feed, seen, _)| *seen != seq || (is_apart && *feed != n)) {
            return Err("a feed told something else".into());
        }
        let after: Vec<f64> =
            seen.iter().map(|(.., at)| at.duration_since(done).unwrap_or_default().as_secs_f64()).collect();
        first.push(percentile(after.clone(), 0.0));
        middle.push(percentile(after.clone(), 0.5));
        last.push(percentile(after, 1.0));
    }
    let reached = |times: &[f64]| {
        let (half, most) = (percentile(times.to_vec(), 0.5), percentile(times.to_vec(), 0.99));
        format!("{} µs p50, {} µs p99", micros(half), micros(most))
    };
    if is_apart {
        report.figure("from a commit's answer to its feed's event", &reached(&last));
    } else {
        report.figure("from a commit's answer to the first event", &reached(&first));
        report.figure("to half of all events", &reached(&middle));
        report.figure("to the last event", &reached(&last));
    }
    let _ = stop.send(());
    let ending = time(|| {
        wait(feeds)?;
        Ok(runtime.block_on(serving)??)
    })?;
    report.figure("going down, until every feed was told and closed", &format!("{:.2} s", ending));
    // it ends by itself, its input still open
    let input = client.stdin.take();
    client.wait()?;
    drop(input);
    reading.join().map_err(|_| "a thread panicked")?
}

/// `feeds-client ADDRESS FEEDS STORES`: holds that many feeds, of the stores in turn, and writes a line for each event. The
/// last one has number 0.
pub(crate) fn client(words: &[String]) -> Outcome<()> {
    let [address, feeds, stores] = words else { return Err("the client wants three words".into()) };
    end_with_the_parent();
    let (feeds, stores) = (feeds.parse::<usize>()?, stores.parse::<usize>()?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let owner = people::owner();
    runtime.block_on(async {
        let opening = Arc::new(tokio::sync::Semaphore::new(64));
        let mut holding = tokio::task::JoinSet::new();
        for n in 0..feeds {
            let request = people::feed_request(&owner, n % stores)?;
            let place = Arc::clone(&opening).acquire_owned().await?;
            holding.spawn(hold(address.clone(), n, request, place));
        }
        while let Some(held) = holding.join_next().await {
            held??;
        }
        Ok(())
    })
}

async fn hold(address: String, n: usize, request: String, place: tokio::sync::OwnedSemaphorePermit) -> Outcome<()> {
    let mut place = Some(place);
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut lines = tokio::io::BufReader::with_capacity(256, stream).lines();
    let mut is_end = false;
    while let Some(line) = lines.next_line().await? {
        is_end |= line == "event: end";
        let Some(value) = line.strip_prefix("data: ") else { continue };
        let seq = if is_end { 0 } else { value.parse::<u64>()? };
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_nanos();
        writeln!(std::io::stdout(), "{n} {seq} {at}")?;
        place = None;
        if is_end {
            return Ok(());
        }
    }
    drop(place);
    Err(format!("feed {n} ended early").into())
}
