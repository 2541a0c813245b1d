//! Connections: what is sent together, what PostgreSQL's errors mean here, and what becomes of a connection afterwards.

use std::error::Error as _;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Poll;
use std::time::Duration;

use deadpool::managed::QueueMode;
use deadpool_postgres::{Connect, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Config, Error, Row, SimpleQueryMessage, Socket};

use super::schema::{BEGIN_VERSION, FOUND, Kind, NEXT_VERSION, VERSIONS};
use crate::error::StorageError;

/// Why a try came to its end before its result.
#[derive(Debug)]
pub(super) enum Fail {
    /// Nothing was done; the same may work at once. The error to give when it doesn't.
    Again(StorageError),
    /// An earlier try of this very operation was done.
    Done,
    Storage(StorageError),
}

pub(super) type Outcome<T> = Result<T, Fail>;

impl From<StorageError> for Fail {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<Error> for Fail {
    fn from(error: Error) -> Self {
        let again = Self::Again(StorageError::Unavailable { retry: true });
        if is_lost(&error) {
            return again;
        }
        let Some(code) = error.code() else {
            return StorageError::backend(error).into();
        };
        let code = code.code();
        Self::Storage(match code.split_at_checked(2) {
            // serialization failure, deadlock
            Some(("40", _)) => return again,
            Some(("53", "100")) => StorageError::Full,
            // too little memory, too many connections; cancelled, a lock not had in time; a server that only reads
            Some(("53", _)) | Some(("57", _)) | Some(("55", "P03")) | Some(("25", "006")) => {
                StorageError::Unavailable { retry: true }
            }
            // damaged pages and indexes; our SQL is constant, so what does not fit it was not written by this version
            Some(("XX", "001" | "002")) | Some(("22" | "23" | "42", _)) => StorageError::Corrupt,
            _ => StorageError::backend(Answered { code: code.to_owned() }),
        })
    }
}

impl From<PoolError> for Fail {
    fn from(error: PoolError) -> Self {
        match error {
            // a server that can't be reached is not asked again at once
            PoolError::Backend(error) => match Self::from(error) {
                Self::Again(error) => Self::Storage(error),
                other => other,
            },
            PoolError::Timeout(_) => StorageError::Unavailable { retry: true }.into(),
            other => StorageError::backend(other).into(),
        }
    }
}

/// What PostgreSQL answered, without the detail, which names keys.
#[derive(Debug, thiserror::Error)]
#[error("PostgreSQL answered with SQLSTATE {code}")]
struct Answered {
    code: String,
}

/// Whether the connection is gone, so that nobody knows what became of the last request.
fn is_lost(error: &Error) -> bool {
    if error.is_closed() {
        return true;
    }
    match error.code().map(tokio_postgres::error::SqlState::code) {
        // class 08: connection exceptions; 57P: shut down; 40003: the statement's completion is unknown
        Some(code) => code.starts_with("08") || code.starts_with("57P") || code == "40003",
        None => error.source().is_some_and(|source| source.is::<std::io::Error>()),
    }
}

/// A parameter.
pub(super) enum Value<'a> {
    Bytes(&'a [u8]),
    Ids(Vec<&'a [u8]>),
    Int(i64),
}

/// Lengths only: the driver writes parameters to its debug log.
impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Ids(ids) => write!(f, "{} ids", ids.len()),
            Self::Int(_) => f.write_str("a number"),
        }
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Bytes(bytes) => bytes.to_sql(ty, out),
            Self::Ids(ids) => ids.to_sql(ty, out),
            Self::Int(number) => number.to_sql(ty, out),
        }
    }

    fn accepts(ty: &Type) -> bool {
        [Type::BYTEA, Type::BYTEA_ARRAY, Type::INT8].contains(ty)
    }

    to_sql_checked!();
}

impl<'a, const N: usize> From<&'a [u8; N]> for Value<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

/// A statement with its parameters.
pub(super) struct Step<'a> {
    pub(super) sql: &'static str,
    pub(super) values: Vec<Value<'a>>,
}

/// A [`Step`]: the statement, then its parameters.
macro_rules! step {
    ($sql:expr $(, $value:expr)* $(,)?) => {
        $crate::postgres::connect::Step { sql: $sql, values: vec![$($crate::postgres::connect::Value::from($value)),*] }
    };
}
pub(super) use step;

/// The rows that each statement gave, in their order.
pub(super) struct Answers(std::vec::IntoIter<Vec<Row>>);

impl Answers {
    /// The rows of the next statement.
    pub(super) fn rows(&mut self) -> Vec<Row> {
        self.0.next().unwrap_or_default()
    }

    /// The first row of the next statement.
    pub(super) fn row(&mut self) -> Option<Row> {
        self.rows().into_iter().next()
    }
}

/// A column of a row that this version wrote.
pub(super) fn column<'a, T: FromSql<'a>>(row: &'a Row, at: usize) -> Outcome<T> {
    row.try_get(at).map_err(|_| StorageError::Corrupt.into())
}

/// A column with a number that is never negative.
pub(super) fn number(row: &Row, at: usize) -> Outcome<u64> {
    from_int(column(row, at)?)
}

/// A column with bytes of a fixed length.
pub(super) fn array<const N: usize>(row: &Row, at: usize) -> Outcome<[u8; N]> {
    column::<&[u8]>(row, at)?.try_into().map_err(|_| StorageError::Corrupt.into())
}

pub(super) fn to_int(value: u64) -> Outcome<i64> {
    i64::try_from(value).map_err(|_| StorageError::Invalid("a number is beyond 2^63 - 1").into())
}

pub(super) fn from_int(value: i64) -> Outcome<u64> {
    u64::try_from(value).map_err(|_| StorageError::Corrupt.into())
}

/// Nothing was sent, or a transaction is over: somebody else may use the connection.
const IDLE: u8 = 0;
/// Answers or a transaction's end are due.
const OPEN: u8 = 1;
/// It can't be used any more.
const LOST: u8 = 2;

const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// A connection from a pool. It goes back only when nothing is due on it; else it is closed, and the server rolls back.
pub(super) struct Conn {
    client: Option<Object>,
    state: AtomicU8,
}

impl Drop for Conn {
    fn drop(&mut self) {
        if self.state.load(Ordering::Acquire) != IDLE {
            drop(self.client.take().map(Object::take));
        }
    }
}

impl Conn {
    /// Sends everything before the first answer is awaited; answers come in order.
    async fn pipeline(
        &self,
        begin: Option<&'static str>,
        steps: &[Step<'_>],
        end: Option<&'static str>,
    ) -> Result<Answers, Error> {
        type Pending<'a> = Pin<Box<dyn Future<Output = Result<Vec<Row>, Error>> + Send + 'a>>;
        let Some(client) = &self.client else { return Ok(Answers(Vec::new().into_iter())) };
        let ends = end.is_some() || (begin.is_none() && self.state.load(Ordering::Acquire) == IDLE);
        self.state.store(OPEN, Ordering::Release);
        let control = |sql: &'static str| async move { client.batch_execute(sql).await.map(|()| Vec::new()) };
        let run = async {
            let mut pending: Vec<Pending<'_>> = Vec::with_capacity(steps.len().saturating_add(2));
            let mut statements = Vec::with_capacity(steps.len());
            for step in steps {
                statements.push(client.prepare_cached(step.sql).await?);
            }
            if let Some(sql) = begin {
                pending.push(Box::pin(control(sql)));
            }
            for (step, statement) in steps.iter().zip(statements) {
                pending.push(Box::pin(async move {
                    let values: Vec<&(dyn ToSql + Sync)> = step.values.iter().map(|value| value as _).collect();
                    client.query(&statement, &values).await
                }));
            }
            if let Some(sql) = end {
                pending.push(Box::pin(control(sql)));
            }
            let mut early: Vec<Option<Result<Vec<Row>, Error>>> = Vec::with_capacity(pending.len());
            std::future::poll_fn(|cx| {
                // a request is sent when it is first polled
                early.extend(pending.iter_mut().map(|one| match one.as_mut().poll(cx) {
                    Poll::Ready(answer) => Some(answer),
                    Poll::Pending => None,
                }));
                Poll::Ready(())
            })
            .await;
            let mut answers = Vec::with_capacity(steps.len());
            let mut first = None;
            for (one, early) in pending.into_iter().zip(early) {
                let answer = match early {
                    Some(answer) => answer,
                    None => one.await,
                };
                // the first error is the cause of the others
                match answer {
                    Ok(rows) => answers.push(rows),
                    Err(error) if first.is_none() => first = Some(error),
                    Err(_) => {}
                }
            }
            match first {
                Some(error) => Err(error),
                None => Ok(answers),
            }
        };
        match run.await {
            Ok(mut answers) => {
                if ends {
                    self.state.store(IDLE, Ordering::Release);
                }
                if begin.is_some() && !answers.is_empty() {
                    answers.remove(0);
                }
                Ok(Answers(answers.into_iter()))
            }
            Err(error) => {
                if is_lost(&error) {
                    self.state.store(LOST, Ordering::Release);
                }
                Err(error)
            }
        }
    }

    /// One statement, a transaction of its own.
    pub(super) async fn one(&self, step: Step<'_>) -> Outcome<Answers> {
        Ok(self.pipeline(None, &[step], None).await?)
    }

    /// Reads what belongs together, at one moment.
    pub(super) async fn snapshot(&self, steps: &[Step<'_>]) -> Outcome<Answers> {
        Ok(self.pipeline(Some(SNAPSHOT), steps, Some("COMMIT")).await?)
    }

    /// Begins to write.
    pub(super) async fn begin(&self, steps: &[Step<'_>]) -> Outcome<Answers> {
        Ok(self.pipeline(Some(BEGIN), steps, None).await?)
    }

    /// More of a transaction that was begun.
    pub(super) async fn more(&self, steps: &[Step<'_>]) -> Outcome<Answers> {
        Ok(self.pipeline(None, steps, None).await?)
    }

    /// The rest of a transaction, and its end. A connection that is lost leaves unknown whether it was done.
    pub(super) async fn end<T>(&self, steps: &[Step<'_>], value: T) -> Outcome<Ended<T>> {
        match self.pipeline(None, steps, Some("COMMIT")).await {
            Ok(_) => Ok(Ended::Done(value)),
            Err(error) if is_lost(&error) => Ok(Ended::Unknown(value)),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends a transaction that somebody left open, so that the connection can be used again.
    pub(super) async fn settle(&self) {
        if self.state.load(Ordering::Acquire) == OPEN {
            let _ = self.pipeline(None, &[], Some("ROLLBACK")).await;
        }
    }
}

/// How a transaction ended.
pub(super) enum Ended<T> {
    Done(T),
    /// The connection was lost: the value if it was done.
    Unknown(T),
}

/// Which try this is of an operation that writes.
#[derive(Clone, Copy)]
pub(super) struct Attempt {
    /// Left in the store's row by what was done: tells one's own work from others'.
    pub(super) stamp: i64,
    /// An earlier try may have been done.
    pub(super) unknown: bool,
}

/// The connections to one database.
pub(super) struct Database {
    pool: Pool,
}

impl Database {
    /// Brings the database to the present version; no more than `connections` are open at a time.
    pub(super) async fn open<T>(
        config: Config,
        tls: T,
        connections: usize,
        timeout: Duration,
        kind: &Kind,
    ) -> Result<Self, StorageError>
    where
        T: MakeTlsConnect<Socket> + Clone + Sync + Send + 'static,
        T::Stream: Sync + Send,
        T::TlsConnect: Sync + Send,
        <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
    {
        let mut config = config;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(timeout);
        }
        if config.get_application_name().is_none() {
            config.application_name("deedbox");
        }
        // a peer that vanished is noticed while its answer is awaited, and while nothing is
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(timeout);
        }
        let connector = Connector { tls, handle: Handle::current(), timeout };
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let pool = Pool::builder(Manager::from_connect(config, connector, recycling))
            .max_size(connections)
            // the one used last, whose server process is still warm; not each in turn
            .queue_mode(QueueMode::Lifo)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(timeout))
            .create_timeout(Some(timeout))
            .recycle_timeout(Some(timeout))
            .build()
            .map_err(StorageError::backend)?;
        let database = Self { pool };
        match database.prepare(kind).await {
            Ok(()) => Ok(database),
            Err(Fail::Again(error) | Fail::Storage(error)) => Err(error),
            Err(Fail::Done) => Err(StorageError::Corrupt),
        }
    }

    pub(super) async fn get(&self) -> Outcome<Arc<Conn>> {
        Ok(Arc::new(Conn { client: Some(self.pool.get().await?), state: AtomicU8::new(IDLE) }))
    }

    async fn prepare(&self, kind: &Kind) -> Outcome<()> {
        let client = self.pool.get().await?;
        // what is done has to be on the disk; a server of another make has no such setting
        if show(&client, "SHOW fsync").await.as_deref() == Some("off") {
            return Err(StorageError::backend("PostgreSQL runs with fsync = off").into());
        }
        let mut tries = 0_u32;
        loop {
            match migrate(&client, kind).await {
                Err(Look::Again) => {}
                Err(Look::Raced) if tries < 20 => {
                    tries = tries.saturating_add(1);
                    client.batch_execute("ROLLBACK").await?;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(Look::Raced) => return Err(StorageError::Unavailable { retry: true }.into()),
                Ok(done) => return done,
            }
        }
    }
}

/// The database is not what it was when it was looked at.
enum Look {
    /// A step was done.
    Again,
    /// Another process is doing the same.
    Raced,
}

/// One step towards the present version.
async fn migrate(client: &Client, kind: &Kind) -> Result<Outcome<()>, Look> {
    let judge = |error: Error| match error.code().map(tokio_postgres::error::SqlState::code) {
        // unique violation, duplicate schema, duplicate table, serialization failure
        Some("23505" | "42P06" | "42P07" | "40001") => Err(Look::Raced),
        _ => Ok(Err(error.into())),
    };
    let versions = match client.query(VERSIONS, &[]).await {
        Ok(rows) => rows,
        Err(error) if error.code().is_some_and(|code| ["42P01", "3F000"].contains(&code.code())) => {
            return match client.batch_execute(FOUND).await {
                Ok(()) => Err(Look::Again),
                Err(error) => judge(error),
            };
        }
        Err(error) => return judge(error),
    };
    let mut version = None;
    for row in &versions {
        match (column::<i64>(row, 0), column::<i64>(row, 1)) {
            (Ok(number), Ok(held)) if number == kind.number => version = Some(held),
            (Ok(_), Ok(_)) => {
                return Ok(Err(StorageError::Invalid("the shares need a database of their own").into()));
            }
            _ => return Ok(Err(StorageError::Corrupt.into())),
        }
    }
    let Some(version) = version else {
        return match client.execute(BEGIN_VERSION, &[&kind.number]).await {
            Ok(_) => Err(Look::Again),
            Err(error) => judge(error),
        };
    };
    let Ok(done) = usize::try_from(version) else { return Ok(Err(StorageError::Corrupt.into())) };
    if done > kind.migrations.len() {
        return Ok(Err(StorageError::Corrupt.into()));
    }
    let Some(sql) = kind.migrations.get(done) else { return Ok(Ok(())) };
    let run = async {
        client.batch_execute(BEGIN).await?;
        if client.query(NEXT_VERSION, &[&kind.number, &version]).await?.len() == 1 {
            client.batch_execute(sql).await?;
        }
        client.batch_execute("COMMIT").await
    };
    match run.await {
        Ok(()) => Err(Look::Again),
        Err(error) => judge(error),
    }
}

/// A setting of the server; `None` where it has none of that name.
async fn show(client: &Client, sql: &str) -> Option<String> {
    let messages = client.simple_query(sql).await.ok()?;
    messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    })
}

/// Makes connections, whose work is done by tasks of `handle`.
struct Connector<T> {
    tls: T,
    handle: Handle,
    timeout: Duration,
}

impl<T> Connect for Connector<T>
where
    T: MakeTlsConnect<Socket> + Clone + Sync + Send + 'static,
    T::Stream: Sync + Send,
    T::TlsConnect: Sync + Send,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    fn connect(
        &self,
        config: &Config,
    ) -> Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), Error>> + Send + '_>> {
        let (tls, config) = (self.tls.clone(), config.clone());
        Box::pin(async move {
            let (client, connection) = config.connect(tls).await?;
            // whoever waits for an answer sees the error
            let task = self.handle.spawn(async move { drop(connection.await) });
            let millis = self.timeout.as_millis();
            client
                .batch_execute(&format!(
                    "SET statement_timeout = {millis}; SET lock_timeout = {millis};
                     SET idle_in_transaction_session_timeout = {}",
                    millis.saturating_mul(2)
                ))
                .await?;
            // durable when it returns, whatever the role's default is
            if show(&client, "SHOW synchronous_commit").await.as_deref() == Some("off") {
                client.batch_execute("SET synchronous_commit = on").await?;
            }
            Ok((client, task))
        })
    }
}
