//! A disk of its own for a database, small enough to be filled. It takes root and Linux.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Holds some minutes of load, and Postgres's log of it.
const SIZE: &str = "size=3g";

/// What must be free for it and the rest, in KiB.
const MEMORY: u64 = 6 * 1024 * 1024;

/// A file system in memory, gone when dropped.
pub struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// Why there can be none here.
    pub fn missing() -> Option<&'static str> {
        let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let line = memory.lines().find(|line| line.starts_with("MemAvailable:"));
        let free: Option<u64> = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
        if free.is_none_or(|free| free < MEMORY) {
            return Some("there is not enough memory for a disk in it");
        }
        let folder = std::env::temp_dir().join(format!("gatepost-disk-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder can be made");
        let mounted = mount(&folder);
        if mounted {
            unmount(&folder);
        }
        std::fs::remove_dir(&folder).expect("it is empty");
        (!mounted).then_some("no file system can be mounted")
    }

    /// One in that folder.
    pub fn in_folder(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).expect("the folder is ours");
        assert!(mount(folder), "it could be mounted a moment ago");
        Self { folder: folder.to_owned() }
    }

    /// Leaves no room.
    pub fn fill(&self) {
        const FILL: &str = "! cat /dev/zero >\"$1/ballast\"";
        let mut fill = Command::new("sh");
        fill.args(["-c", FILL, "sh"]).arg(&self.folder).stderr(std::process::Stdio::null());
        assert!(fill.status().is_ok_and(|status| status.success()), "the disk can be filled");
    }

    /// Gives the room back.
    pub fn relieve(&self) {
        std::fs::remove_file(self.folder.join("ballast")).expect("it was filled");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        unmount(&self.folder);
    }
}

fn mount(folder: &Path) -> bool {
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", SIZE, "gatepost"]).arg(folder);
    mount.stderr(std::process::Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Also while processes still end.
fn unmount(folder: &Path) {
    let unmounted = Command::new("umount").arg("--lazy").arg(folder).status();
    if !unmounted.is_ok_and(|status| status.success()) {
        eprintln!("{} is still mounted", folder.display());
    }
}
