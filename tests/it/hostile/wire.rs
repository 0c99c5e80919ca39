//! Requests that are too large, too slow, or hardly HTTP.

use std::time::Duration;

use serde_json::Value;

use super::{Scene, assert_refused};
use crate::support::services::Services;

/// A body of 64 KiB is read, one of a byte more is not, however its length is told; however much more there is, the
/// client gets to read why.
pub async fn hostile_sizes_are_refused(services: &Services) {
    let scene = Scene::new(services).await;
    let padded = |size: usize| {
        let body = scene.customer.message("+966500010001").to_string();
        format!("{body}{}", " ".repeat(size - body.len()))
    };
    let chunked = |body: String| {
        let chunks = body
            .into_bytes()
            .chunks(1_000)
            .map(|chunk| Ok(chunk.to_vec()))
            .collect::<Vec<std::io::Result<_>>>();
        reqwest::Body::wrap_stream(futures_util::stream::iter(chunks))
    };
    assert_eq!(scene.post(padded(65_536)).await.status, 202);
    assert_eq!(scene.post(chunked(padded(65_536))).await.status, 202);
    for size in [65_537, 70_000, 1_000_000, 20_000_000] {
        assert_refused(&scene.post(padded(size)).await, 413, "payload_too_large", &format!("{size} bytes"));
        let what = format!("{size} bytes in chunks");
        assert_refused(&scene.post(chunked(padded(size))).await, 413, "payload_too_large", &what);
    }
    // A length that is only claimed, and a chunk that never ends.
    let mut wire = scene.connect().await;
    wire.write(&scene.head("content-length: 99999999999\r\n")).await.expect("it is read");
    let answer = wire.answer().await.expect("an answer");
    assert!([408, 413].contains(&answer.status), "{}", answer.text);
    wire.closed().await;
    let endless =
        [&scene.head("transfer-encoding: chunked\r\n")[..], b"fffffff\r\n", &[b' '; 300_000]].concat();
    let answer = scene.connect().await.exchange(&endless).await.expect("an answer");
    assert_refused(&answer, 413, "payload_too_large", "an endless chunk");
    // A client that writes everything before it reads anything.
    let mut blunt = scene.connect().await;
    let whole = [&scene.head("content-length: 5000000\r\n")[..], &[b' '; 5_000_000]].concat();
    blunt.write(&whole).await.expect("the gateway hears it out");
    assert_refused(&blunt.answer().await.expect("an answer"), 413, "payload_too_large", "a blunt client");
    blunt.closed().await;
    // Those who may not send at all are told that, whatever they send.
    let mut stranger = scene.customer.clone();
    stranger.key = "gp_live_nobodys".to_owned();
    let answer = crate::support::world::answer(stranger.request(&Value::Null).body(padded(20_000_000))).await;
    assert_refused(&answer, 401, "invalid_api_key", "a stranger's 20 MB");
    scene.still_well("+966500010003").await;
}

/// A body that comes too slowly, or not at all, is given up in time, and the connection with it.
pub async fn hostile_slow_bodies_are_given_up(services: &Services) {
    let scene = Scene::new(services).await;
    let body = scene.customer.message("+966500010001").to_string();
    let length = format!("content-length: {}\r\n", body.len());

    let mut silent = scene.connect().await;
    silent.write(&scene.head(&length)).await.expect("it is read");
    let mut stuck = scene.connect().await;
    let half = [&scene.head("transfer-encoding: chunked\r\n")[..], b"40\r\n{\"phone\":"].concat();
    stuck.write(&half).await.expect("it is read");
    for (what, mut wire) in [("silent", silent), ("stuck in a chunk", stuck)] {
        let answer = wire.answer().await.expect("an answer");
        assert_refused(&answer, 408, "request_timeout", what);
        wire.closed().await;
    }

    // Every byte comes well within the limit, all of them do not.
    let mut trickle = scene.connect().await;
    trickle.write(&scene.head(&length)).await.expect("it is read");
    let mut sent = 0;
    let begun = tokio::time::Instant::now();
    let mut beat = tokio::time::interval(Duration::from_millis(50));
    let answer = loop {
        tokio::select! {
            answer = trickle.answer() => break answer.expect("an answer"),
            _ = beat.tick() => {}
        }
        sent += 1;
        assert!(sent < body.len(), "the limit is for the whole body");
        if trickle.write(&body.as_bytes()[sent - 1..sent]).await.is_err() {
            break trickle.answer().await.expect("an answer");
        }
    };
    assert_refused(&answer, 408, "request_timeout", "a trickle");
    assert!(begun.elapsed() >= Duration::from_millis(450), "it had its time: {:?}", begun.elapsed());

    // A client that goes in the middle is no harm; one that stops half-way is told.
    let mut gone = scene.connect().await;
    gone.write(&[&scene.head(&length)[..], b"{"].concat()).await.expect("it is read");
    drop(gone);
    let mut halved = scene.connect().await;
    halved.write(&[&scene.head(&length)[..], b"{"].concat()).await.expect("it is read");
    halved.finish().await;
    if let Some(answer) = halved.answer().await {
        assert_refused(&answer, 400, "invalid_json", "half a body");
    }
    scene.still_well("+966500010003").await;
}

/// More headers than anybody needs, or larger ones, are refused in the one shape.
pub async fn hostile_headers_are_refused(services: &Services) {
    let scene = Scene::new(services).await;
    let body = scene.customer.message("+966500010001").to_string();
    let with = |headers: String| {
        let length = format!("content-length: {}\r\n", body.len());
        [&scene.head(&format!("{headers}{length}"))[..], body.as_bytes()].concat()
    };
    let many = |count: usize| (0..count).map(|n| format!("x-filler-{n}: {n}\r\n")).collect::<String>();
    let accepted = scene.connect().await.exchange(&with(many(90))).await.expect("an answer");
    assert_eq!(accepted.status, 202, "{}", accepted.text);
    for (what, headers) in [
        ("101 headers", many(101)),
        ("200 headers", many(200)),
        ("10,000 headers", many(10_000)),
        ("200,000 headers", many(200_000)),
        ("the same header 1,000 times", "idempotency-key: k\r\n".repeat(1_000)),
        ("one header of 500 KB", format!("x-huge: {}\r\n", "x".repeat(500_000))),
        ("one header of 20 MB", format!("x-huge: {}\r\n", "x".repeat(20_000_000))),
        ("a key of 500 KB", format!("authorization: Bearer {}\r\n", "k".repeat(500_000))),
    ] {
        let answer = scene.connect().await.exchange(&with(headers)).await;
        let answer = answer.unwrap_or_else(|| panic!("{what}: an answer"));
        assert_refused(&answer, 431, "headers_too_large", what);
    }
    let large = with(format!("x-large: {}\r\n", "x".repeat(50_000)));
    let large = scene.connect().await.exchange(&large).await.expect("an answer");
    assert_eq!(large.status, 202, "50 KB of headers are read, and ignored: {}", large.text);
    scene.still_well("+966500010003").await;
}

/// What is no HTTP at all gets a refusal or the end of the connection, never silence.
pub async fn hostile_bytes_do_no_harm(services: &Services) {
    let scene = Scene::new(services).await;
    let long_path = format!("POST /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(100_000));
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        ("HTTP/9.9", b"POST /api/send-message HTTP/9.9\r\n\r\n".to_vec()),
        ("nonsense", b"\x00\xff\x00\xff\r\n\r\n".to_vec()),
        ("a header without a name", b"POST / HTTP/1.1\r\n: x\r\n\r\n".to_vec()),
        ("a header with a NUL", b"POST / HTTP/1.1\r\nx: \x00\r\n\r\n".to_vec()),
        ("a negative length", scene.head("content-length: -1\r\n")),
        ("two lengths", scene.head("content-length: 1\r\ncontent-length: 2\r\n")),
        ("a chunk of no size", [&scene.head("transfer-encoding: chunked\r\n")[..], b"zz\r\n{}\r\n"].concat()),
        ("a path of 100 KB", long_path.into_bytes()),
    ];
    for (what, bytes) in cases {
        if let Some(answer) = scene.connect().await.exchange(&bytes).await {
            assert!(
                [400, 404, 414, 505].contains(&answer.status),
                "{what}: {} {}",
                answer.status,
                answer.text
            );
        }
    }
    scene.still_well("+966500010003").await;
}
