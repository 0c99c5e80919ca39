//! What operators see of a process: whether it lives, whether it can work, and why it does not start.

use std::process::Stdio;
use std::time::Duration;

use futures_util::future::join_all;

use crate::support::eventually;
use crate::support::process::{Binary, Process, command};
use crate::support::proxy::Proxy;
use crate::support::services::{Services, free_port};
use crate::support::world::World;

async fn assert_ready(processes: &[Process]) {
    for process in processes {
        let (status, answer) =
            eventually("it is ready", async || process.ready().await.filter(|(status, _)| *status == 200))
                .await;
        assert_eq!(status, 200);
        assert!(answer.lines().any(|line| line == "database: ok"), "{:?}: {answer}", process.binary);
    }
}

/// `/readyz` says 503 and names the database, while `/livez` says that the process lives.
async fn assert_not_ready(processes: &[Process]) {
    for process in processes {
        let answer = eventually("it is not ready", async || {
            process.ready().await.filter(|(status, _)| *status == 503).map(|(_, answer)| answer)
        })
        .await;
        let line = answer.lines().find(|line| line.starts_with("database: ")).expect("the database is named");
        assert_ne!(line, "database: ok", "{:?}", process.binary);
        let user = line.contains("gatepost:") || line.contains("postgres://");
        assert!(!user, "nothing of the address is told: {line}");
        assert_eq!(process.ask("/livez").await, Some((200, "ok\n".to_owned())), "{:?}", process.binary);
    }
}

/// Every binary lives and is ready; without its database, gone or silent, it is not ready, says so by name and lives on;
/// when the database is back it is ready again by itself.
pub async fn readiness_follows_the_database(services: &Services) {
    let mut world = World::new(services).await;
    let mut proxy = Proxy::to_database(&mut world).await;
    let processes = world.start_all().await;
    assert_ready(&processes).await;
    for process in &processes {
        assert_eq!(process.ask("/livez").await, Some((200, "ok\n".to_owned())));
        assert_eq!(process.ask("/metrics").await.map(|(status, _)| status), Some(200));
        assert_eq!(process.ask("/nowhere").await.map(|(status, _)| status), Some(404));
    }
    proxy.cut().await;
    assert_not_ready(&processes).await;
    proxy.heal().await;
    assert_ready(&processes).await;
    proxy.stall();
    assert_not_ready(&processes).await;
    proxy.heal().await;
    assert_ready(&processes).await;
}

/// Runs a binary that must not start; gives what it says.
async fn refused(world: &World, binary: Binary, name: &str, value: Option<&str>) -> String {
    let mut environment = world.environment();
    environment.push(("GATEPOST_LISTEN".to_owned(), format!("127.0.0.1:{}", free_port())));
    environment.retain(|(known, _)| known != name);
    environment.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    let mut command = command(binary, &environment);
    if matches!(binary, Binary::Gateway) {
        command.arg("serve");
    }
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let output = tokio::time::timeout(Duration::from_secs(20), command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("{binary:?} starts with {name} = {value:?}"));
    let output = output.expect("the binary was built beside this test");
    assert_eq!(output.status.code(), Some(1), "{binary:?} with {name} = {value:?}");
    String::from_utf8(output.stderr).expect("it prints UTF-8")
}

const BAD_SETTINGS: [(&str, &[&str]); 20] = [
    ("DATABASE_URL", &["", "nonsense hunter2", "http://user:hunter2@localhost/db"]),
    (
        "AMQP_URL",
        &[
            "",
            "nonsense-hunter2",
            "http://user:hunter2@localhost/",
            "amqp://user:hunter2@host:port/",
            "amqp://user:hunter2@one,http://user:hunter2@two",
            "amqp://user:hunter2@one,",
        ],
    ),
    ("GATEPOST_SECRET_KEY", &["", "hunter2", "aHVudGVyMg=="]),
    ("GATEPOST_LISTEN", &["8080", "localhost", "127.0.0.1:99999"]),
    ("GATEPOST_OPS_LISTEN", &["9090", "nowhere:1"]),
    ("GATEPOST_QUEUE_PREFIX", &["a b", "ä"]),
    ("GATEPOST_WEBHOOK_ALLOW", &["127.0.0.1/99", "everything"]),
    ("GATEPOST_ENV", &["staging", "Production"]),
    ("GATEPOST_LOG_FORMAT", &["xml", "JSON"]),
    ("RUST_LOG", &["gatepost=loudly", "info,,=="]),
    ("GATEPOST_DATABASE_CONNECTIONS", &["0", "many"]),
    ("GATEPOST_DELIVER_CONCURRENCY", &["0", "-1"]),
    ("GATEPOST_NOTIFY_CONCURRENCY", &["10001", "1.5"]),
    ("GATEPOST_PROVIDER_TIMEOUT_MS", &["0", "20s"]),
    ("GATEPOST_WEBHOOK_TIMEOUT_MS", &["0", "86400001"]),
    ("GATEPOST_ACCEPT_DUE_MS", &["0", "soon"]),
    ("GATEPOST_LEASE_MS", &["0", "99999999999999999999"]),
    ("GATEPOST_UNKNOWN_DEADLINE_MS", &["-1", "never"]),
    ("GATEPOST_SWEEP_INTERVAL_MS", &["0", "0.5"]),
    ("GATEPOST_CACHE_MS", &["0", "x"]),
];

/// A setting that is missing or not valid stops the start of every binary, by its name and without its value.
pub async fn a_bad_setting_stops_the_start_by_name(services: &Services) {
    let world = World::new(services).await;
    for (name, values) in BAD_SETTINGS {
        let tries = values.iter().flat_map(|value| Binary::ALL.map(|binary| (binary, *value)));
        join_all(tries.map(async |(binary, value)| {
            let said = refused(&world, binary, name, Some(value)).await;
            assert!(said.contains(name), "{binary:?} with {name} = {value:?} says {said}");
            assert!(!said.contains("hunter2"), "{binary:?} with {name} = {value:?} says {said}");
        }))
        .await;
    }
    for name in ["DATABASE_URL", "AMQP_URL", "GATEPOST_SECRET_KEY"] {
        for binary in Binary::ALL {
            let said = refused(&world, binary, name, None).await;
            assert!(said.contains(&format!("{name} is not set")), "{binary:?} without {name} says {said}");
        }
    }
}
