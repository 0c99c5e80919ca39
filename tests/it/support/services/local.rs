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

use super::server::{Kind, START, STOP, probe};
use super::{HELPER, helper, helper_with};

/// A server and the folder with its data, both gone when it is dropped.
pub struct Process {
    name: &'static str,
    end_signal: &'static str,
    port: u16,
    password: String,
    folder: PathBuf,
    /// What makes it a node of a cluster, see `scripts/services`.
    place: Option<String>,
    child: Option<Child>,
}

impl Process {
    /// A server that is not started yet; with a place in a cluster, a node of that.
    pub async fn create<K: Kind>(port: u16, password: &str, place: Option<String>) -> Self {
        let folder = PathBuf::from(helper(&["folder"], &[]).await);
        let password = password.to_owned();
        Self { name: K::NAME, end_signal: K::END_SIGNAL, port, password, folder, place, child: None }
    }

    /// A server on another port with a base backup of this one, which is not started yet.
    pub(super) async fn backed_up<K: Kind>(&self, of: u16, port: u16) -> Self {
        let copy = Self::create::<K>(port, &self.password, None).await;
        let folder = copy.folder.to_string_lossy();
        let password = ("GATEPOST_LOCAL_PASSWORD", self.password.as_str());
        helper_with(&["back-up", &folder, &of.to_string()], &[], &[password]).await;
        drop(folder);
        copy
    }

    /// Has a base backup come to that moment when it is started.
    pub(super) async fn recover(&self, archive: &str, moment: &str) {
        helper(&["recover", &self.folder.to_string_lossy(), archive, moment], &[]).await;
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
            .args(&self.place)
            .env("GATEPOST_LOCAL_PASSWORD", &self.password)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log)
            .process_group(0); // Ctrl-C is for the tests, which end their servers
        let child = spawn_blocking(move || spawn(command)).await.expect("spawning does not panic");
        self.child = Some(child.unwrap_or_else(|error| panic!("{HELPER}: {error}")));
    }

    /// Starts the server and waits until it answers at its address. Panics with its log if it does not.
    pub async fn launch<K: Kind>(&mut self, url: &str) {
        let deadline = tokio::time::Instant::now() + START;
        self.start().await;
        while let Err(error) = probe::<K>(url).await {
            let late = tokio::time::Instant::now() >= deadline;
            assert!(self.is_running() && !late, "{} does not start: {error}\n{}", self.name, self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Sends a signal that does not end it.
    pub fn signal(&self, signal: &str) {
        let child = self.child.as_ref().expect("it runs");
        assert!(send(signal, child), "{signal} is sent to {}", self.name);
    }

    /// Runs one of the server's tools for at most half a minute; gives what it prints, or says why it failed.
    pub async fn tool(&self, command: &[&str]) -> Result<String, String> {
        let mut tool = tokio::process::Command::new(HELPER);
        tool.arg(format!("{}-tool", self.name)).arg(&self.folder).args(command);
        tool.stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(STOP, tool.output()).await.map_err(|_| "no answer".to_owned())?;
        let output = output.map_err(|error| error.to_string())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Sends a signal and waits for the end.
    pub async fn end(&mut self, signal: &'static str) {
        if let Some(child) = self.child.take() {
            spawn_blocking(move || end(child, signal)).await.expect("ending a process does not panic");
        }
    }

    /// Removes the data of a server that does not run.
    pub(super) fn wipe(&mut self) {
        let data = self.data();
        // Processes of the server may still be ending and write their last.
        for _ in 0..100 {
            match fs::remove_dir_all(&data) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    thread::sleep(Duration::from_millis(20));
                }
                _ => return,
            }
        }
        panic!("{} cannot be removed", data.display());
    }

    /// Ends it and removes its data.
    pub async fn remove(self) {
        spawn_blocking(move || drop(self)).await.expect("ending a process does not panic");
    }

    /// The end of the server's log.
    pub(super) fn log(&self) -> String {
        let log = fs::read_to_string(self.log_path()).unwrap_or_default();
        let skipped = log.lines().count().saturating_sub(30);
        log.lines().skip(skipped).collect::<Vec<_>>().join("\n")
    }

    /// Where its data are.
    pub(super) fn data(&self) -> PathBuf {
        self.folder.join(self.name)
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

/// Sends a signal, waits, and kills the process when it has not ended in time.
fn end(mut child: Child, signal: &str) {
    let deadline = Instant::now() + STOP;
    let sent = send(signal, &child);
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

/// Sends a signal by the shell's `kill`; `false` where there is nobody any more.
fn send(signal: &str, child: &Child) -> bool {
    let kill =
        Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", signal, &child.id().to_string()]).status();
    kill.is_ok_and(|status| status.success())
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
