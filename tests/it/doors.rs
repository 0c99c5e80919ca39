//! Those who come to the doors to stay: slow writers, slow readers, and thousands who say nothing. Others are served.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::eventually;
use crate::support::meta;
use crate::support::process::{Binary, Process};
use crate::support::rows::wait_for_count;
use crate::support::services::Services;
use crate::support::wire::Wire;
use crate::support::world::{Customer, World};

/// How long one request may take while the others are there.
const PROMPT: Duration = Duration::from_secs(5);

/// A send, a callback and a look at the health, each answered in time.
async fn others_are_served(world: &World, gateway: &Process, customer: &Customer, n: usize) {
    let begun = Instant::now();
    customer.accepted(&format!("+9665000{n:05}")).await;
    let words = meta::text(customer, "966500017001", &format!("wamid.IN{n}=="), "Thanks");
    meta::post(&world.gateway_url(), &words).await;
    assert_eq!(gateway.ready().await.map(|(status, _)| status), Some(200));
    assert!(begun.elapsed() < PROMPT, "{:?}", begun.elapsed());
}

/// The memory a process has, in MiB.
fn resident(gateway: &Process) -> u64 {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", gateway.id().expect("it runs"))).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it is told");
    let kibibytes = line.split_whitespace().nth(1).expect("a number");
    kibibytes.parse::<u64>().expect("a number") / 1024
}

/// Three thousand connections that say nothing, and three hundred that give a byte of a head at a time, at the gateway's
/// door and a hundred at the operators': everybody else is served as ever, memory stays small, and when they are gone
/// nothing of them is left.
pub async fn doors_are_open_beside_thousands_who_say_nothing(services: &Services) {
    let world = World::new(services).await;
    let gateway = world.start(Binary::Gateway).await;
    let customer = world.customer().await;
    others_are_served(&world, &gateway, &customer, 0).await;
    let before = resident(&gateway);
    let connect = async |port: u16| TcpStream::connect(("127.0.0.1", port)).await.expect("it listens");
    let mut idle = Vec::new();
    for _ in 0..3_000 {
        idle.push(connect(world.gateway_port).await);
    }
    let mut slow = Vec::new();
    for n in 0..300 {
        let mut stream = connect(world.gateway_port).await;
        let path = if n % 2 == 0 { "/api/send-message" } else { "/callbacks/meta" };
        let head = format!("POST {path} HTTP/1.1\r\nhost: gateway\r\nx-slow: ");
        stream.write_all(head.as_bytes()).await.expect("it is read");
        slow.push(stream);
    }
    for n in 1..=5 {
        for stream in &mut slow {
            stream.write_all(b"x").await.expect("it is read");
        }
        others_are_served(&world, &gateway, &customer, n).await;
    }
    let after = resident(&gateway);
    assert!(after < before + 100, "{before} MiB before, {after} MiB with 3,300 connections");
    drop((idle, slow));
    others_are_served(&world, &gateway, &customer, 6).await;
}

/// The operators' listener gives up who is slow with a head, serves others meanwhile, and takes no more connections than it
/// needs.
pub async fn doors_for_operators_are_bounded_too(services: &Services) {
    let world = World::new(services).await;
    let gateway = world.start(Binary::Gateway).await;
    let ops = format!("http://127.0.0.1:{}", gateway.ops_port());
    let mut idle = Vec::new();
    for _ in 0..60 {
        idle.push(Wire::connect(&ops).await);
    }
    let mut slow = Wire::connect(&ops).await;
    slow.write(b"GET /livez HTTP/1.1\r\nhost: x\r\n").await.expect("it is read");
    // Few places are left, so whoever came last is given up soon.
    let begun = Instant::now();
    let (status, _) = eventually("there is a place", async || gateway.ready().await).await;
    assert_eq!(status, 200);
    assert!(slow.answer().await.is_none(), "no head, no answer");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    let long =
        [b"GET /livez HTTP/1.1\r\nx: "[..].to_vec(), vec![b'x'; 200_000], b"\r\n\r\n".to_vec()].concat();
    let refused = Wire::connect(&ops).await.exchange(&long).await;
    assert_eq!(refused.map(|answer| answer.status), Some(431));
    drop(idle);
    for (method, path, status) in [("GET", "/livez", 200), ("POST", "/livez", 405), ("GET", "/../livez", 404)]
    {
        let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let answer = Wire::connect(&ops).await.exchange(request.as_bytes()).await;
        assert_eq!(answer.map(|answer| answer.status), Some(status), "{method} {path}");
    }
}

/// Clients that ask and never read: what waits for them is bounded, and nobody waits behind them.
pub async fn doors_do_not_wait_for_those_who_never_read(services: &Services) {
    let world = World::new(services).await;
    let gateway = world.start(Binary::Gateway).await;
    let customer = world.customer().await;
    others_are_served(&world, &gateway, &customer, 0).await;
    let before = resident(&gateway);
    let request = "GET /nothing HTTP/1.1\r\nhost: gateway\r\n\r\n".repeat(200);
    let mut deaf = Vec::new();
    for _ in 0..50 {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4_096).expect("it can be small");
        let address = format!("127.0.0.1:{}", world.gateway_port).parse().expect("an address");
        let mut stream = socket.connect(address).await.expect("it listens");
        // Until the gateway takes no more of it: it has stopped to read what it cannot answer.
        let stopped = async { while stream.write_all(request.as_bytes()).await.is_ok() {} };
        let stopped = tokio::time::timeout(Duration::from_millis(300), stopped).await;
        deaf.push((stopped.is_err(), stream));
    }
    others_are_served(&world, &gateway, &customer, 1).await;
    let after = resident(&gateway);
    assert!(after < before + 100, "{before} MiB before, {after} MiB with 50 who never read");
    assert!(deaf.iter().any(|(stopped, _)| *stopped), "some were stopped");
    // Who begins to read gets whole answers.
    let (_, stream) = deaf.first_mut().expect("one");
    let mut answers = vec![0; 64 * 1024];
    stream.read_exact(&mut answers).await.expect("the answers are there");
    assert!(String::from_utf8_lossy(&answers).starts_with("HTTP/1.1 404 Not Found\r\n"));
}

/// A provider that gives a byte of a callback at a time is given up after its twenty seconds, and others are taken
/// meanwhile; so is one that names an address of an instance's.
pub async fn doors_for_callbacks_outlast_slow_writers(services: &Services) {
    let world = World::new(services).await;
    let gateway = world.start(Binary::Gateway).await;
    let (customer, database) = (world.customer().await, world.database().await);
    let desk = crate::support::desk::Desk::open(&database).await;
    let signature = "0".repeat(64);
    let heads = [
        format!(
            "POST /callbacks/meta HTTP/1.1\r\nhost: g\r\ncontent-length: 4000000\r\nx-hub-signature-256: sha256={signature}\r\n\r\n"
        ),
        format!(
            "POST /callbacks/evolution/{} HTTP/1.1\r\nhost: g\r\ncontent-length: 900\r\n\r\n",
            desk.token
        ),
    ];
    for head in heads {
        let begun = Instant::now();
        let mut wire = Wire::connect(&world.gateway_url()).await;
        wire.write(head.as_bytes()).await.expect("it is read");
        let mut beat = tokio::time::interval(Duration::from_millis(500));
        let mut served = 0;
        let answer = loop {
            tokio::select! {
                biased;
                answer = wire.answer() => break answer,
                _ = beat.tick() => {}
            }
            let _ = wire.write(b"[").await;
            if served < 3 {
                served += 1;
                others_are_served(&world, &gateway, &customer, begun.elapsed().as_millis() as usize % 90_000)
                    .await;
            }
        };
        assert_eq!(answer.map(|answer| answer.status), Some(408), "{head}");
        assert!((18..40).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    }
    wait_for_count(&database, "select count(*) from callbacks where due_at is not null", 0).await;
}
