//! What attackers write into the head of a request: paths, methods, targets and lengths.

use crate::support::services::Services;
use crate::support::wire::Wire;
use crate::tricks::Scene;

/// A send by hand, up to its body, which it is given as well.
fn request(scene: &Scene, line: &str, headers: &str, body: &str) -> String {
    format!(
        "{line}\r\n{headers}content-type: application/json\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n{body}",
        scene.customer.key,
        body.len()
    )
}

/// Paths that only look like a route, or that lead out of it, are nobody's; forms of the right one that HTTP allows are
/// the right one, with the same checks.
pub async fn tricks_with_paths_lead_nowhere(services: &Services) {
    let scene = Scene::new(services).await;
    let body = scene.customer.message("+966500060001").to_string();
    let send = |line: &str, headers: &str, body: &str| request(&scene, line, headers, body);
    for path in [
        "//api/send-message",
        "/api//send-message",
        "/api/./send-message",
        "/api/x/../send-message",
        "/api/send-message/",
        "/api/send-message/..",
        "/api%2fsend-message",
        "/api/send%2dmessage",
        "/api/send-message%00",
        "/api/send-message;a=b",
        "/API/send-message",
        "/%2e%2e/api/send-message",
        "/callbacks/meta/../../api/send-message",
        "/callbacks/evolution/",
        "/metrics",
        "/readyz",
        "/../metrics",
    ] {
        let request = send(&format!("POST {path} HTTP/1.1"), "host: gateway\r\n", &body);
        let answer = scene.exchange(request).await.expect("an answer");
        assert_eq!((answer.status, answer.error()), (404, "not_found"), "{path}: {}", answer.text);
    }
    for (method, status) in [
        ("post", 405),
        ("Post", 405),
        ("POSTS", 405),
        ("GET", 405),
        ("HEAD", 405),
        ("TRACE", 405),
        ("DELETE", 405),
        ("OPTIONS", 405),
    ] {
        // What would turn another method into a POST, if it were heeded.
        let headers = "host: gateway\r\nx-http-method-override: POST\r\nx-http-method: POST\r\nx-method-override: POST\r\n";
        let request = send(&format!("{method} /api/send-message?_method=POST HTTP/1.1"), headers, &body);
        let mut wire = Wire::connect(&scene.world.gateway_url()).await;
        wire.write(request.as_bytes()).await.expect("it is read");
        if method != "HEAD" {
            let answer = wire.answer().await.expect("an answer");
            assert_eq!(answer.status, status, "{method}: {}", answer.text);
        }
    }
    assert_eq!(scene.count("select count(*) from policy_log").await, 0, "nothing of it was a send");

    scene.still_well().await;
}

/// Forms of the right path that HTTP allows are the right path, with the same checks, whatever else the head says of hosts
/// and addresses.
pub async fn tricks_with_targets_change_nothing(services: &Services) {
    let scene = Scene::new(services).await;
    let send = |line: &str, headers: &str, body: &str| request(&scene, line, headers, body);
    let address = scene.world.gateway_url();
    for (n, (line, headers)) in [
        (format!("POST {address}/api/send-message HTTP/1.1"), "host: gateway\r\n"),
        ("POST http://elsewhere.example/api/send-message HTTP/1.1".to_owned(), "host: gateway\r\n"),
        ("POST /api/send-message?x=/../..%2f HTTP/1.1".to_owned(), "host: gateway\r\n"),
        ("POST /api/send-message HTTP/1.1".to_owned(), "host: a\r\nhost: b\r\n"),
        (
            "POST /api/send-message HTTP/1.1".to_owned(),
            "host: gateway\r\nx-original-url: /metrics\r\nx-rewrite-url: /metrics\r\nx-forwarded-host: x\r\n",
        ),
        ("POST /api/send-message HTTP/1.0".to_owned(), ""),
    ]
    .into_iter()
    .enumerate()
    {
        let body = scene.customer.message(&format!("+96650006001{n}")).to_string();
        let answer = scene.exchange(send(&line, headers, &body)).await.expect("an answer");
        assert_eq!(answer.status, 202, "{line} {headers:?}: {}", answer.text);
        let stranger = send(&line, headers, &body).replace("gp_live_", "gp_live-");
        let answer = scene.exchange(stranger).await.expect("an answer");
        assert_eq!(answer.error(), "invalid_api_key", "{line}");
    }
    scene.still_well().await;
}

/// The head of a request to where nothing is, up to the lines that say how long its body is.
const HEAD: &str = "POST /api/check HTTP/1.1\r\nhost: gateway\r\n";

/// Requests with two lengths, or one that can be read in two ways, before what would be smuggled.
fn ambiguous(smuggled: &str) -> Vec<(&'static str, String)> {
    let (head, long) = (HEAD, smuggled.len());
    vec![
        (
            "both lengths",
            format!("{head}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"),
        ),
        (
            "chunked and a length",
            format!("{head}transfer-encoding: chunked\r\ncontent-length: {long}\r\n\r\n0\r\n\r\n{smuggled}"),
        ),
        ("two lengths", format!("{head}content-length: 0\r\ncontent-length: {long}\r\n\r\n{smuggled}")),
        ("a list of lengths", format!("{head}content-length: 0, {long}\r\n\r\n{smuggled}")),
        ("a signed length", format!("{head}content-length: +0\r\n\r\n{smuggled}")),
        ("a length in hexadecimal", format!("{head}content-length: 0x0\r\n\r\n{smuggled}")),
        ("a length with a space", format!("{head}content-length : 0\r\n\r\n{smuggled}")),
        ("a name with a tab", format!("{head}transfer-encoding\t: chunked\r\n\r\n0\r\n\r\n{smuggled}")),
        (
            "chunked twice",
            format!(
                "{head}transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n{smuggled}"
            ),
        ),
        ("an unknown coding", format!("{head}transfer-encoding: xchunked\r\n\r\n0\r\n\r\n{smuggled}")),
        (
            "chunked, but not last",
            format!("{head}transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n{smuggled}"),
        ),
        ("a quoted coding", format!("{head}transfer-encoding: \"chunked\"\r\n\r\n0\r\n\r\n{smuggled}")),
        ("a folded header", format!("{head}transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n{smuggled}")),
        (
            "HTTP/1.0, chunked",
            format!("POST /api/check HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"),
        ),
        ("a bare CR", format!("{head}x: a\rtransfer-encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}")),
        (
            "a chunk size too large",
            format!("{head}transfer-encoding: chunked\r\n\r\n10000000000000000\r\n\r\n{smuggled}"),
        ),
        ("a chunk size with a sign", format!("{head}transfer-encoding: chunked\r\n\r\n-1\r\n\r\n{smuggled}")),
        (
            "a chunk without its end",
            format!("{head}transfer-encoding: chunked\r\n\r\n1\r\nxx0\r\n\r\n{smuggled}"),
        ),
    ]
}

/// Requests that two servers would divide differently: what follows the first request, as one of them would see it, is
/// never taken for a request of its own.
pub async fn tricks_with_lengths_smuggle_nothing(services: &Services) {
    let scene = Scene::new(services).await;
    let key = &scene.customer.key;
    let hidden = scene.customer.message("+966500070001").to_string();
    let smuggled = format!(
        "POST /api/send-message HTTP/1.1\r\nhost: g\r\ncontent-type: application/json\r\nauthorization: Bearer {key}\r\ncontent-length: {}\r\n\r\n{hidden}",
        hidden.len()
    );
    for (what, bytes) in ambiguous(&smuggled) {
        let mut wire = Wire::connect(&scene.world.gateway_url()).await;
        // The gateway may have closed before it has taken everything.
        let _ = wire.write(bytes.as_bytes()).await;
        let mut answers = Vec::new();
        while let Some(answer) = wire.answer().await {
            answers.push(answer.status);
        }
        assert!(
            answers.len() <= 1 && answers.iter().all(|status| [400, 404, 408].contains(status)),
            "{what}: {answers:?}"
        );
        assert_eq!(scene.count("select count(*) from policy_log").await, 0, "{what} smuggled a send");
    }
    // Where nothing is ambiguous, the next request on the connection is one: two answers for two requests.
    let mut wire = Wire::connect(&scene.world.gateway_url()).await;
    wire.write(format!("{HEAD}content-length: 5\r\n\r\nhello{smuggled}").as_bytes())
        .await
        .expect("it is read");
    assert_eq!(wire.answer().await.map(|answer| answer.status), Some(404));
    assert_eq!(wire.answer().await.map(|answer| answer.status), Some(202));
    scene.still_well().await;
}
