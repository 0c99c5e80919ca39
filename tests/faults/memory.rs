//! The most memory that processes use over a time. Linux tells; elsewhere nothing is known.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

/// A look at it so often.
const LOOK: Duration = Duration::from_millis(200);

/// Looks until it is asked.
pub struct Memory {
    stop: CancellationToken,
    task: JoinHandle<Vec<(String, u64)>>,
}

impl Memory {
    /// Watches these processes: their names and ids.
    pub fn watch(processes: Vec<(String, u32)>) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(watch(processes, stop.clone()));
        Self { stop, task }
    }

    /// The most that each used, in KiB.
    pub async fn peak(self) -> Vec<(String, u64)> {
        self.stop.cancel();
        self.task.await.expect("watching does not panic")
    }
}

async fn watch(processes: Vec<(String, u32)>, stop: CancellationToken) -> Vec<(String, u64)> {
    let mut most: Vec<(String, u64)> = processes.iter().map(|(name, _)| (name.clone(), 0)).collect();
    let mut looks = interval(LOOK);
    while !stop.is_cancelled() {
        looks.tick().await;
        for ((_, id), (_, most)) in processes.iter().zip(&mut most) {
            *most = used(*id).unwrap_or_default().max(*most);
        }
    }
    most
}

/// What a process uses, in KiB.
pub fn used(id: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
