//! The product's own binaries as child processes.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

/// Which binary, with its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    Gateway,
    Deliver,
    Notify,
    Sweep,
}

impl Binary {
    pub const ALL: [Self; 4] = [Self::Gateway, Self::Deliver, Self::Notify, Self::Sweep];

    fn path(self) -> &'static str {
        match self {
            Self::Gateway => env!("CARGO_BIN_EXE_gateway"),
            Self::Deliver => env!("CARGO_BIN_EXE_deliver"),
            Self::Notify => env!("CARGO_BIN_EXE_notify"),
            Self::Sweep => env!("CARGO_BIN_EXE_sweep"),
        }
    }
}

/// A running process; killed when dropped.
pub struct Process {
    pub binary: Binary,
    child: Child,
    log: PathBuf,
    ops: u16,
}

/// A command of the product's with nothing of this process's environment but what it needs to run at all.
pub fn command(binary: Binary, environment: &[(String, String)]) -> Command {
    let mut command = Command::new(binary.path());
    command.env_clear().envs(environment.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

impl Process {
    /// Starts a process whose ops listener is on `ops`, with its log in `folder`.
    pub fn start(binary: Binary, environment: &[(String, String)], ops: u16, folder: &Path) -> Self {
        let log = folder.join(format!("{binary:?}-{ops}.log").to_lowercase());
        let file = std::fs::File::create(&log).expect("the folder for logs can be written");
        let mut command = command(binary, environment);
        if matches!(binary, Binary::Gateway) {
            command.arg("serve");
        }
        command.env("GATEPOST_OPS_LISTEN", format!("127.0.0.1:{ops}"));
        command.stdout(Stdio::null()).stderr(file);
        let child = command.spawn().expect("the binary was built beside this test");
        Self { binary, child, log, ops }
    }

    /// What `/readyz` says.
    pub async fn ready(&self) -> Option<(u16, String)> {
        self.ask("/readyz").await
    }

    /// What the ops listener answers; `None` where it does not.
    pub async fn ask(&self, path: &str) -> Option<(u16, String)> {
        let url = format!("http://127.0.0.1:{}{path}", self.ops);
        let response = super::http().get(url).timeout(Duration::from_secs(3)).send().await.ok()?;
        let status = response.status().as_u16();
        Some((status, response.text().await.ok()?))
    }

    /// Waits until it says that it is ready; panics with its log if it ends before.
    pub async fn wait_until_ready(&mut self) {
        let deadline = tokio::time::Instant::now() + super::PATIENCE;
        loop {
            if matches!(self.ready().await, Some((200, _))) {
                return;
            }
            let ended = self.child.try_wait().expect("a child can be asked");
            let late = tokio::time::Instant::now() > deadline;
            assert!(ended.is_none() && !late, "{:?} is not ready ({ended:?}):\n{}", self.binary, self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Everything it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The port of its ops listener.
    pub fn ops_port(&self) -> u16 {
        self.ops
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        if let Some(pid) = self.child.id() {
            let sent = std::process::Command::new("kill").args(["-TERM", &pid.to_string()]).status();
            assert!(sent.expect("kill can be run").success());
        }
    }

    /// Waits for its end; gives the exit code.
    pub async fn wait(&mut self, longest: Duration) -> Option<i32> {
        let ended = tokio::time::timeout(longest, self.child.wait()).await;
        ended.ok().and_then(|status| status.expect("a child can be waited for").code())
    }

    /// Ends it as a crash would: `kill -9`.
    pub async fn kill(mut self) {
        self.kill_now().await;
    }

    /// As [`Self::kill`], for one that is replaced in its place.
    pub async fn kill_now(&mut self) {
        self.child.kill().await.expect("a child can be killed");
    }

    /// Whether it runs no more.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child can be asked").is_some()
    }

    /// The end of what it has logged.
    pub fn log_end(&self) -> String {
        let log = self.log();
        let skipped = log.lines().count().saturating_sub(20);
        log.lines().skip(skipped).collect::<Vec<_>>().join("\n")
    }

    /// Its id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }
}
