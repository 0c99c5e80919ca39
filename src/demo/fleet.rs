//! The child processes: started together, and ended whatever happens.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use futures_util::future::{join_all, select_all};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::DemoError;
use super::setting::{Role, Setting};

/// A process has this long to end after a signal: a little more than it allows itself.
const END_LIMIT: Duration = Duration::from_secs(15);
/// All processes together have this long to become ready.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// How often they are asked.
const READY_INTERVAL: Duration = Duration::from_millis(50);
/// The longest wait for one answer.
const ASK_LIMIT: Duration = Duration::from_secs(3);

/// The running processes. Dropped without [`Fleet::end`], as by a panic, they are killed.
#[derive(Default)]
pub struct Fleet {
    children: Vec<(Role, Child)>,
}

impl Fleet {
    /// Starts every process. Where one cannot be started, those before it keep running until [`Fleet::end`].
    pub fn start(&mut self, setting: &Setting) -> Result<(), DemoError> {
        let folder = own_folder().map_err(|error| DemoError::Io("find its own executable".into(), error))?;
        for role in Role::ALL {
            let program = folder.join(role.program());
            let child = spawn(&program, role, setting)
                .map_err(|error| DemoError::Io(format!("start {}", program.display()), error))?;
            self.children.push((role, child));
        }
        Ok(())
    }

    /// Waits until one of the processes ends, which none should.
    pub async fn first_death(&mut self) -> DemoError {
        let deaths = self.children.iter_mut().map(|(role, child)| {
            Box::pin(async move {
                match child.wait().await {
                    Ok(status) => DemoError::Died(role.name(), status),
                    Err(error) => DemoError::Io(format!("watch {}", role.name()), error),
                }
            })
        });
        select_all(deaths).await.0
    }

    /// Asks every process to end, waits, and kills those that do not; gives what went wrong.
    pub async fn end(self) -> Vec<String> {
        for (_, child) in &self.children {
            ask_to_end(child);
        }
        let ends = self.children.into_iter().map(|(role, child)| end_of(role, child));
        join_all(ends).await.into_iter().flatten().collect()
    }
}

fn own_folder() -> std::io::Result<PathBuf> {
    let own = std::env::current_exe()?;
    own.parent().map(Path::to_owned).ok_or_else(|| std::io::ErrorKind::NotFound.into())
}

/// The environment is exactly what the demo makes, so that nothing set for other purposes changes what is shown.
fn spawn(program: &Path, role: Role, setting: &Setting) -> std::io::Result<Child> {
    Command::new(program)
        .args(setting.arguments(role))
        .env_clear()
        .envs(setting.environment(role))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
}

fn ask_to_end(child: &Child) {
    // No id: it was waited for already. Its id cannot be another process's, because nobody else waits for it.
    let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(id) = id {
        // Fails where it has just ended.
        let _ = kill_process(id, Signal::TERM);
    }
}

/// Waits for the end of a process that was asked to; what went wrong, if anything did.
async fn end_of(role: Role, mut child: Child) -> Option<String> {
    match timeout(END_LIMIT, child.wait()).await {
        Ok(Ok(status)) if status.success() => None,
        Ok(Ok(status)) => Some(format!("{}: {status}", role.name())),
        Ok(Err(error)) => Some(format!("{}: {error}", role.name())),
        Err(_) => {
            // Killing waits for the end, too. It fails only where there is no such process any more.
            let _ = child.kill().await;
            Some(format!("{} was killed after {} s", role.name(), END_LIMIT.as_secs()))
        }
    }
}

/// Waits until every process says that it is ready.
pub async fn until_ready(setting: &Setting) -> Result<(), DemoError> {
    let client = reqwest::Client::builder().no_proxy().timeout(ASK_LIMIT).build()?;
    let deadline = Instant::now() + READY_LIMIT;
    for role in Role::ALL {
        let url = setting.health_url(role);
        while !is_ready(&client, &url).await {
            if Instant::now() > deadline {
                return Err(DemoError::NotReady(role.name()));
            }
            sleep(READY_INTERVAL).await;
        }
    }
    Ok(())
}

async fn is_ready(client: &reqwest::Client, url: &str) -> bool {
    // Not listening yet is the same as not ready yet.
    client.get(url).send().await.is_ok_and(|answer| answer.status().is_success())
}
