//! What the figures were measured on: without it they say nothing.

use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::sql;
use crate::stage::Servers;

/// The machine, the versions and the settings that durability depends on.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    processor: String,
    cores: usize,
    memory_mib: u64,
    /// Of the last minute, before the run.
    load: String,
    build: &'static str,
    commit: String,
    rabbitmq: String,
    queue_type: &'static str,
    /// `show NAME` for each.
    postgres: Vec<(&'static str, String)>,
}

impl Machine {
    /// Looks at it.
    pub async fn look(servers: &Servers) -> Self {
        let database = servers.connect().await;
        let processor = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned());
        let memory = field("/proc/meminfo", "MemTotal").unwrap_or_default();
        let kib = memory.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok());
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Self {
            processor,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: kib.unwrap_or_default() / 1024,
            load: load.split(' ').next().unwrap_or_default().to_owned(),
            build: if cfg!(debug_assertions) { "not optimised" } else { "release" },
            commit: commit().unwrap_or_else(|| "unknown".to_owned()),
            rabbitmq: broker_version(&servers.amqp_url).await.unwrap_or_else(|| "unknown".to_owned()),
            queue_type: "quorum",
            postgres: sql::durability(&database).await,
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let Self { processor, cores, memory_mib, load, build, commit, rabbitmq, queue_type, .. } = self;
        let mut text = format!(
            "{processor}, {cores} cores, {memory_mib} MiB, load {load}\n\
             gatepost {commit} ({build}); RabbitMQ {rabbitmq}, queues: {queue_type}, persistent, confirmed; PostgreSQL"
        );
        for (name, value) in &self.postgres {
            let _ = write!(text, " {name}={value}");
        }
        text.push('\n');
        text
    }
}

/// A line `NAME : VALUE` of a file of the system's.
fn field(file: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn commit() -> Option<String> {
    let mut git = Command::new("git");
    git.args(["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty", "--exclude=*"]);
    let output = git.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

/// The version in the first frame that a broker sends.
async fn broker_version(amqp_url: &str) -> Option<String> {
    const NAME: &[u8] = b"\x07versionS";
    let address = amqp_url.rsplit_once('@')?.1.split('/').next()?;
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(b"AMQP\0\0\x09\x01").await.ok()?;
    let mut frame = vec![0; 4_096];
    let read = timeout(Duration::from_secs(5), stream.read(&mut frame)).await.ok()?.ok()?;
    let at = memchr::memmem::find(&frame[..read], NAME)? + NAME.len();
    let length = u32::from_be_bytes(frame.get(at..at + 4)?.try_into().ok()?) as usize;
    String::from_utf8(frame.get(at + 4..at + 4 + length)?.to_vec()).ok()
}
