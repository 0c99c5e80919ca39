//! A private server from installed binaries: a process that `scripts/services` turns into one.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use tokio::task::spawn_blocking;

use super::server::{Kind, STOP};
use super::{HELPER, helper};

/// A server and the folder with its data, both gone when it is dropped.
pub(super) struct Process {
    name: &'static str,
    end_signal: &'static str,
    port: u16,
    password: String,
    folder: PathBuf,
    child: Option<Child>,
}

impl Process {
    /// A server that is not started yet.
    pub(super) async fn create<K: Kind>(port: u16, password: &str) -> Self {
        let folder = PathBuf::from(helper(&["folder"], &[]).await);
        let password = password.to_owned();
        Self { name: K::NAME, end_signal: K::END_SIGNAL, port, password, folder, child: None }
    }

    /// Starts the server unless it runs.
    pub(super) async fn start(&mut self) {
        if self.is_running() {
            return;
        }
        let log =
            File::options().create(true).append(true).open(self.log_path()).expect("the folder is ours");
        let mut command = Command::new(HELPER);
        command
            .args([self.name.as_ref(), self.folder.as_os_str(), self.port.to_string().as_ref()])
            .env("GATEPOST_LOCAL_PASSWORD", &self.password)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log)
            .process_group(0); // Ctrl-C is for the tests, which end their servers
        let child = spawn_blocking(move || spawn(command)).await.expect("spawning does not panic");
        self.child = Some(child.unwrap_or_else(|error| panic!("{HELPER}: {error}")));
    }

    pub(super) fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Sends a signal and waits for the end.
    pub(super) async fn end(&mut self, signal: &'static str) {
        if let Some(child) = self.child.take() {
            spawn_blocking(move || end(child, signal)).await.expect("ending a process does not panic");
        }
    }

    pub(super) async fn remove(self) {
        spawn_blocking(move || drop(self)).await.expect("ending a process does not panic");
    }

    /// The end of the server's log.
    pub(super) fn log(&self) -> String {
        let log = fs::read_to_string(self.log_path()).unwrap_or_default();
        let skipped = log.lines().count().saturating_sub(30);
        log.lines().skip(skipped).collect::<Vec<_>>().join("\n")
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join("log")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            end(child, self.end_signal);
        }
        // Processes of the server may still be ending and write their last.
        for _ in 0..50 {
            match fs::remove_dir_all(&self.folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    thread::sleep(Duration::from_millis(20));
                }
                _ => return,
            }
        }
    }
}

/// Sends a signal by the shell's `kill`, waits, and kills the process when it has not ended in time.
fn end(mut child: Child, signal: &str) {
    let deadline = Instant::now() + STOP;
    let kill =
        Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", signal, &child.id().to_string()]).status();
    let sent = kill.is_ok_and(|status| status.success());
    while sent && Instant::now() < deadline {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    // Either fails only for a process that has ended.
    let _ = child.kill();
    let _ = child.wait();
}

/// Starts a process from a thread that never ends: for the system a process's parent is the thread that started it,
/// and the servers end with their parent.
fn spawn(command: Command) -> io::Result<Child> {
    type Request = (Command, mpsc::Sender<io::Result<Child>>);
    static REQUESTS: OnceLock<mpsc::Sender<Request>> = OnceLock::new();
    let requests = REQUESTS.get_or_init(|| {
        let (requests, received) = mpsc::channel::<Request>();
        thread::spawn(move || {
            for (mut command, answer) in received {
                let _ = answer.send(command.spawn()); // whoever asked waits for it
            }
        });
        requests
    });
    let (answer, answered) = mpsc::channel();
    requests.send((command, answer)).map_err(io::Error::other)?;
    answered.recv().map_err(io::Error::other)?
}
