//! One server, whichever of the two and however it is had.

use std::future::Future;
use std::marker::PhantomData;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::containers::Container;
use super::local::Process;
use super::{Way, free_port};

/// How long a server may take to its first answer. RabbitMQ in a container on two busy cores takes some 15 s.
pub(super) const START: Duration = Duration::from_secs(90);
/// How long one attempt to connect may take.
const PROBE: Duration = Duration::from_secs(2);
/// How long a clean stop may take before the server is killed.
pub(super) const STOP: Duration = Duration::from_secs(30);

/// What differs between the two servers.
pub trait Kind: Send + Sync + 'static {
    /// The server's name, also for `scripts/services`.
    const NAME: &str;
    /// The port inside a container.
    const PORT: u16;
    /// The arguments of a container.
    const ARGUMENTS: &[&str];
    /// The signal for a clean stop that does not wait for clients.
    const STOP_SIGNAL: &str;
    /// The signal for the quickest end that leaves nothing but data: PostgreSQL must remove its shared memory.
    const END_SIGNAL: &str;

    /// The environment that makes a container create the user `gatepost`.
    fn environment(password: &str) -> Vec<(&'static str, String)>;

    /// The URL of a server on a port of this machine.
    fn url(port: u16, password: &str) -> String;

    /// Connects as a client does.
    fn connect(url: &str) -> impl Future<Output = Result<(), String>> + Send;
}

/// See [`Postgres`].
pub struct PostgresKind;

/// See [`RabbitMq`].
pub struct RabbitMqKind;

/// A PostgreSQL of a test's own. fsync is on.
pub type Postgres = Server<PostgresKind>;

/// A RabbitMQ node of a test's own, without plugins. A quorum queue survives [`Server::kill`] only if it was declared
/// some two seconds before.
pub type RabbitMq = Server<RabbitMqKind>;

impl Kind for PostgresKind {
    const NAME: &str = "postgres";
    const PORT: u16 = 5432;
    const ARGUMENTS: &[&str] = &["postgres", "-c", "max_connections=300"];
    const STOP_SIGNAL: &str = "INT";
    const END_SIGNAL: &str = "QUIT";

    fn environment(password: &str) -> Vec<(&'static str, String)> {
        let (user, database) = ("gatepost".to_owned(), "postgres".to_owned());
        vec![("POSTGRES_USER", user), ("POSTGRES_DB", database), ("POSTGRES_PASSWORD", password.to_owned())]
    }

    fn url(port: u16, password: &str) -> String {
        format!("postgres://gatepost:{password}@127.0.0.1:{port}/postgres")
    }

    async fn connect(url: &str) -> Result<(), String> {
        let connected = tokio_postgres::connect(url, tokio_postgres::NoTls).await;
        connected.map(drop).map_err(|error| error.to_string())
    }
}

impl Kind for RabbitMqKind {
    const NAME: &str = "rabbitmq";
    const PORT: u16 = 5672;
    const ARGUMENTS: &[&str] = &[];
    const STOP_SIGNAL: &str = "TERM";
    const END_SIGNAL: &str = "KILL";

    fn environment(password: &str) -> Vec<(&'static str, String)> {
        let (user, no_plugins) = ("gatepost".to_owned(), String::new()); // without plugins it starts and stops faster
        vec![
            ("RABBITMQ_DEFAULT_USER", user),
            ("RABBITMQ_DEFAULT_PASS", password.to_owned()),
            ("RABBITMQ_ENABLED_PLUGINS", no_plugins),
        ]
    }

    fn url(port: u16, password: &str) -> String {
        format!("amqp://gatepost:{password}@127.0.0.1:{port}/%2f")
    }

    async fn connect(url: &str) -> Result<(), String> {
        let connected = lapin::Connection::connect(url, lapin::ConnectionProperties::default()).await;
        let connection = connected.map_err(|error| error.to_string())?;
        connection.close(200, "OK".into()).await.map_err(|error| error.to_string())
    }
}

/// A server of a test's own, [`Postgres`] or [`RabbitMq`]. Dropping it ends it and removes its data; a container can
/// be dropped only within a runtime.
pub struct Server<K> {
    port: u16,
    url: String,
    backing: Backing,
    kind: PhantomData<K>,
}

enum Backing {
    Container(Box<Container>),
    Local(Process),
}

impl<K: Kind> Server<K> {
    /// Starts a server on a free port and waits until it answers. Panics with its log if it does not.
    pub async fn start(way: Way) -> Self {
        Self::start_in(way, |_| {}).await
    }

    /// As [`Self::start`]; the folder that will hold a private server's data is prepared first.
    pub async fn start_in(way: Way, prepare: impl FnOnce(&Path)) -> Self {
        let (port, password) = (free_port(), format!("{:032x}", rand::random::<u128>()));
        let backing = match way.for_own_servers().await {
            Way::Containers => Backing::Container(Box::new(Container::create::<K>(port, &password).await)),
            Way::Urls | Way::Local => Backing::Local(Process::create::<K>(port, &password, None).await),
        };
        if let Backing::Local(process) = &backing {
            prepare(&process.data());
        }
        let mut server = Self { port, url: K::url(port, &password), backing, kind: PhantomData };
        server.launch().await;
        server
    }

    /// Whether it runs from installed binaries, which backups need.
    pub fn is_local(&self) -> bool {
        matches!(self.backing, Backing::Local(_))
    }

    /// A server with a base backup of this one, not started: [`Server::recover`] does.
    pub async fn backed_up(&self) -> Self {
        let Backing::Local(process) = &self.backing else { panic!("no backups of containers") };
        let port = free_port();
        let backing = Backing::Local(process.backed_up::<K>(self.port, port).await);
        let url = self.url.replace(&format!(":{}/", self.port), &format!(":{port}/"));
        Self { port, url, backing, kind: PhantomData }
    }

    /// Starts a base backup at that moment, by the WAL in `archive`, and waits until it answers.
    pub async fn recover(&mut self, archive: &str, moment: &str) {
        let Backing::Local(process) = &self.backing else { panic!("a base backup is never a container") };
        process.recover(archive, moment).await;
        self.launch().await;
    }

    /// The URL; the same for the server's whole life.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops the server cleanly.
    pub async fn stop(&mut self) {
        match &mut self.backing {
            Backing::Container(container) => container.stop().await,
            Backing::Local(process) => process.end(K::STOP_SIGNAL).await,
        }
    }

    /// Kills the server as a crash would, and returns when it is gone.
    pub async fn kill(&mut self) {
        match &mut self.backing {
            Backing::Container(container) => container.kill().await,
            Backing::Local(process) => process.end("KILL").await,
        }
    }

    /// Starts the server again with the data it had, after a clean stop if it still runs, and waits until it answers.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.launch().await;
    }

    /// Runs one of the server's own tools for it; gives what it prints.
    ///
    /// # Errors
    /// What the tool said; a container's tools are not at hand.
    pub async fn tool(&self, command: &[&str]) -> Result<String, String> {
        match &self.backing {
            Backing::Container(_) => Err("a container's tools are not at hand".to_owned()),
            Backing::Local(process) => process.tool(command).await,
        }
    }

    /// Removes the data of a server that was killed: it starts again as a new one, with the same URL.
    pub fn wipe(&mut self) {
        match &mut self.backing {
            Backing::Container(_) => panic!("the data of a container goes with it"),
            Backing::Local(process) => process.wipe(),
        }
    }

    /// Ends the server and removes its data, without blocking the thread as dropping it does.
    pub async fn shutdown(self) {
        match self.backing {
            Backing::Container(container) => container.remove().await,
            Backing::Local(process) => process.remove().await,
        }
    }

    /// Tries a few times: after a kill PostgreSQL does not start while processes of its predecessor still end.
    async fn launch(&mut self) {
        let deadline = Instant::now() + START;
        for pause in [200, 500, 1_000, 2_000, 0] {
            match &mut self.backing {
                Backing::Container(container) => container.start().await,
                Backing::Local(process) => process.start().await,
            }
            match self.wait_until_usable(deadline).await {
                Ok(()) => return,
                Err(_) if pause > 0 && Instant::now() < deadline => sleep(Duration::from_millis(pause)).await,
                Err(error) => panic!("{} on port {}: {error}\n{}", K::NAME, self.port, self.log().await),
            }
        }
    }

    /// Fails when the server has ended, or at the deadline.
    async fn wait_until_usable(&mut self, deadline: Instant) -> Result<(), String> {
        while let Err(error) = probe::<K>(&self.url).await {
            let running = match &mut self.backing {
                Backing::Container(container) => container.is_running().await,
                Backing::Local(process) => process.is_running(),
            };
            if !running || Instant::now() >= deadline {
                return Err(error);
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    async fn log(&self) -> String {
        match &self.backing {
            Backing::Container(container) => container.log().await,
            Backing::Local(process) => process.log(),
        }
    }
}

/// Connects once.
pub(super) async fn probe<K: Kind>(url: &str) -> Result<(), String> {
    timeout(PROBE, K::connect(url)).await.unwrap_or_else(|_| Err(format!("no answer within {PROBE:?}")))
}
