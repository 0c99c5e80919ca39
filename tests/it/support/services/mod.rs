//! The PostgreSQL and the RabbitMQ that the tests run against.
//!
//! [`Services`] are the two that all tests share. A test that breaks a server starts one of its own, a [`Postgres`] or
//! a [`RabbitMq`]. `scripts/services` knows how servers are had: it is asked, and it runs the private ones.

mod containers;
mod local;
mod server;

use std::fmt;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

use tokio::signal::unix::{SignalKind, signal};

pub use local::Process as LocalServer;
pub use server::{Postgres, RabbitMq, RabbitMqKind};

use server::{PostgresKind, probe};

/// How the servers are had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `DATABASE_URL` and `AMQP_URL` name servers that somebody else runs.
    Urls,
    /// Containers on this machine's Docker engine.
    Containers,
    /// Private servers from the installed binaries.
    Local,
}

impl Way {
    /// What `GATEPOST_TEST_SERVICES` says (`scripts/test` sets it), else what `scripts/services` finds.
    async fn find() -> Self {
        match setting("GATEPOST_TEST_SERVICES") {
            Some(way) => Self::named(&way),
            None => Self::named(&helper(&["way"], &[]).await),
        }
    }

    /// The way in which a test can have servers of its own: not by URL.
    async fn for_own_servers(self) -> Self {
        match self {
            Self::Urls => {
                Self::named(&helper(&["way"], &["DATABASE_URL", "AMQP_URL", "GATEPOST_SERVICES"]).await)
            }
            Self::Containers | Self::Local => self,
        }
    }

    fn named(name: &str) -> Self {
        match name {
            "urls" => Self::Urls,
            "containers" => Self::Containers,
            "local" => Self::Local,
            other => panic!("GATEPOST_TEST_SERVICES is '{other}': it must be urls, containers or local"),
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Urls => "urls",
            Self::Containers => "containers",
            Self::Local => "local",
        })
    }
}

/// The servers that all tests share. Tests keep apart by databases and by queue prefixes of their own.
pub struct Services {
    way: Way,
    database_url: String,
    amqp_url: String,
    servers: Option<(Postgres, RabbitMq)>,
}

impl Services {
    /// Finds or starts the shared servers and waits until both answer. Panics with the reason if that fails.
    ///
    /// From here on INT and TERM end this process only after the containers of all tests are removed.
    pub async fn start() -> Self {
        tokio::spawn(clean_up_on_signal());
        let way = Way::find().await;
        if way == Way::Urls {
            let (database_url, amqp_url) = (required("DATABASE_URL"), required("AMQP_URL"));
            let (postgres, rabbitmq) =
                tokio::join!(probe::<PostgresKind>(&database_url), probe::<RabbitMqKind>(&amqp_url));
            postgres.unwrap_or_else(|error| panic!("the PostgreSQL of DATABASE_URL: {error}"));
            rabbitmq.unwrap_or_else(|error| panic!("the RabbitMQ of AMQP_URL: {error}"));
            return Self { way, database_url, amqp_url, servers: None };
        }
        let (postgres, rabbitmq) = tokio::join!(Postgres::start(way), RabbitMq::start(way));
        let (database_url, amqp_url) = (postgres.url().to_owned(), rabbitmq.url().to_owned());
        Self { way, database_url, amqp_url, servers: Some((postgres, rabbitmq)) }
    }

    /// How the servers were had; a test hands it to [`Postgres::start`] or [`RabbitMq::start`].
    pub fn way(&self) -> Way {
        self.way
    }

    /// The URL of PostgreSQL's maintenance database, for a user who may create databases.
    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    /// The URL of the broker's vhost `/`.
    pub fn amqp_url(&self) -> &str {
        &self.amqp_url
    }

    /// Ends what [`Services::start`] started.
    pub async fn stop(self) {
        if let Some((postgres, rabbitmq)) = self.servers {
            tokio::join!(postgres.shutdown(), rabbitmq.shutdown());
        }
    }
}

/// Nothing else removes the containers of an interrupted run. Private servers end with their parent by themselves.
async fn clean_up_on_signal() {
    let mut interrupt = signal(SignalKind::interrupt()).expect("a runtime with signals");
    let mut terminate = signal(SignalKind::terminate()).expect("a runtime with signals");
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    containers::remove_all().await;
    std::process::exit(130);
}

/// A port of this machine that is free now, not given out before in this run, and below the range that the system
/// takes the ports of outgoing connections from: so it is still free when a server comes back after a crash.
pub fn free_port() -> u16 {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    static START: OnceLock<u16> = OnceLock::new();
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let start = *START.get_or_init(|| rand::random_range(0..COUNT));
    (0..COUNT)
        .map(|_| FIRST + (start + GIVEN.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("one of 12,000 ports is free")
}

/// Path of the helper that all of the project uses.
const HELPER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/services");

/// Whether the servers' binaries are installed, however the shared servers are had.
pub async fn is_installed() -> bool {
    let mut way = tokio::process::Command::new(HELPER);
    way.arg("way").env("GATEPOST_SERVICES", "local").stdin(Stdio::null()).stdout(Stdio::null());
    way.status().await.unwrap_or_else(|error| panic!("{HELPER}: {error}")).success()
}

/// What the helper prints, run without some variables of the environment. Panics when it fails; it has said why then.
async fn helper(arguments: &[&str], without: &[&str]) -> String {
    helper_with(arguments, without, &[]).await
}

/// As [`helper`], with these variables besides.
async fn helper_with(arguments: &[&str], without: &[&str], with: &[(&str, &str)]) -> String {
    let mut command = Command::new(HELPER);
    command.args(arguments).stdin(Stdio::null()).stderr(Stdio::inherit());
    command.envs(with.iter().copied());
    for name in without {
        command.env_remove(name);
    }
    let output =
        tokio::task::spawn_blocking(move || command.output()).await.expect("the helper does not panic");
    let output = output.unwrap_or_else(|error| panic!("{HELPER}: {error}"));
    assert!(output.status.success(), "scripts/services {}: {}", arguments.join(" "), output.status);
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[expect(clippy::disallowed_methods, reason = "the tests' settings, not the product's")]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn required(name: &str) -> String {
    setting(name).unwrap_or_else(|| panic!("{name} is not set, but GATEPOST_TEST_SERVICES is urls"))
}
