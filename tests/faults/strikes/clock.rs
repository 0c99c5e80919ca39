//! The clock of one process jumps by an hour, forth and back. The others' and the servers' stay right.

use std::path::PathBuf;

use rand::RngExt;
use rand::rngs::SmallRng;

use super::pause;
use crate::stage::Stage;
use crate::support::process::Binary;

/// The library that lies about the time, where the distributions' packages put it.
fn library() -> Option<PathBuf> {
    let folders = [
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/usr/lib64",
        "/usr/lib",
        "/usr/local/lib",
    ];
    let file = |folder: &str| PathBuf::from(folder).join("faketime/libfaketimeMT.so.1");
    folders.into_iter().map(file).find(|file| file.exists())
}

/// Why it cannot be done here.
pub(super) fn missing() -> Option<&'static str> {
    library().is_none().then_some("libfaketime is not installed")
}

pub(super) async fn jump(stage: &mut Stage, random: &mut SmallRng) {
    let Some(library) = library() else { return };
    let binary = Binary::ALL[random.random_range(0..Binary::ALL.len())];
    let n = random.random_range(0..stage.fleet.count(binary));
    let time = stage.world.folder.join("time");
    std::fs::write(&time, "+0").expect("the folder can be written");
    let variables = [
        ("LD_PRELOAD", library.display().to_string()),
        ("FAKETIME_TIMESTAMP_FILE", time.display().to_string()),
        ("FAKETIME_CACHE_DURATION", "1".to_owned()),
        // Only the calendar is wrong; how long things take is not.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("DONT_FAKE_MONOTONIC", "1".to_owned()),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value));
    stage.fleet.replace(binary, n, &variables).await;
    let id = stage.fleet.id(binary, n).expect("it runs");
    crate::support::eventually("the process is lied to", async || {
        let maps = std::fs::read_to_string(format!("/proc/{id}/maps")).ok()?;
        maps.contains("libfaketime").then_some(())
    })
    .await;
    for offset in ["+0", "+3600", "-3600", "+0"] {
        std::fs::write(&time, offset).expect("the folder can be written");
        pause(random, 1_500, 4_000).await;
    }
    stage.fleet.kill(binary, n).await;
}
