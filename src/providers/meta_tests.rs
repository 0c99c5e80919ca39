//! [`MetaClient`] against a server that answers, stalls and breaks on command.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::meta::{MetaClient, Sender};
use super::scripted_server::{Server, Step, answer};
use super::{ClientSettings, Outgoing};
use crate::domain::meta_codes::FEW_ATTEMPTS;
use crate::domain::outcome::{Class, Failure, Outcome};

const ACCEPTED: &str = include_str!("../../tests/fixtures/meta/send_text_response.json");
const ERRORS: &str = include_str!("../../tests/fixtures/meta/send_errors.json");

fn client(call_timeout: Duration) -> MetaClient {
    // Another test of this process may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    MetaClient::new(&ClientSettings { call_timeout, ..ClientSettings::default() }).expect("TLS is installed")
}

async fn send(client: &MetaClient, base_url: &str) -> Outcome {
    let sender = Sender { base_url, phone_number_id: "10955", token: "token-of-the-sender" };
    client.send(&sender, &Outgoing { to: "966500000007", text: "مرحبا", mark: "m_1:a_1" }, None).await
}

/// Sends one message to a server that takes `step`, with ample time.
async fn outcome_of(step: Step) -> Outcome {
    let server = Server::start(vec![step]).await;
    let outcome = send(&client(Duration::from_secs(20)), &server.base_url).await;
    assert_eq!(server.requests().len(), 1, "one call is one request");
    outcome
}

/// The outcome in a word: the class, with its wait where there is one, or the id.
fn word(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Accepted { provider_message_id } => format!("accepted {provider_message_id}"),
        Outcome::Unknown { .. } => "unknown".to_owned(),
        Outcome::Failed(failure) => match failure.retry_after {
            Some(wait) => format!("{} {}", failure.class.as_str(), wait.as_secs()),
            None => failure.class.as_str().to_owned(),
        },
    }
}

#[tokio::test]
async fn a_message_is_posted_with_the_senders_token_and_accepted_by_its_id() {
    let server = Server::start(vec![Step::Answer(answer(200, &[], ACCEPTED))]).await;
    let outcome = send(&client(Duration::from_secs(20)), &format!("{}/", server.base_url)).await;
    assert_eq!(word(&outcome), "accepted wamid.SAMPLE0001==");
    let request = server.requests().remove(0);
    let (head, body) = request.split_once("\r\n\r\n").expect("a whole request");
    assert!(head.starts_with("POST /v23.0/10955/messages HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nauthorization: Bearer token-of-the-sender"), "{head}");
    assert!(head.contains("\r\ncontent-type: application/json"), "{head}");
    assert!(body.contains(r#""to":"+966500000007""#), "{body}");
}

#[tokio::test]
async fn every_sample_error_is_classified() {
    let samples: Vec<Value> = serde_json::from_str(ERRORS).expect("the fixture is JSON");
    for sample in samples {
        let status = u16::try_from(sample["http"].as_u64().expect("a status")).expect("a status");
        let mut expected = sample["class"].as_str().expect("a class").to_owned();
        if let Some(seconds) = sample["wait_seconds"].as_u64() {
            expected += &format!(" {seconds}");
        }
        let outcome = outcome_of(Step::Answer(answer(status, &[], &sample["body"].to_string()))).await;
        assert_eq!(word(&outcome), expected, "{}", sample["name"]);
    }
}

#[tokio::test]
async fn an_answer_without_metas_error_object_is_judged_by_its_status() {
    for (status, body, expected) in [
        (200, "", "unknown"),
        (200, "{}", "unknown"),
        (200, "<html>hello</html>", "unknown"),
        (204, "", "unknown"),
        (304, "", "instance"),
        (400, "<html>", "permanent"),
        (400, r#"{"error":"words"}"#, "permanent"),
        (404, "", "permanent"),
        (401, "", "instance"),
        (403, "<html>", "instance"),
        (408, "", "retry"),
        (429, "", "throttle_sender 30"),
        (500, "", "unknown"),
        (502, "<html>", "unknown"),
        (503, r#"{"error":{"message":"no code"}}"#, "unknown"),
    ] {
        let outcome = outcome_of(Step::Answer(answer(status, &[], body))).await;
        assert_eq!(word(&outcome), expected, "{status} {body}");
    }
}

#[tokio::test]
async fn a_throttle_waits_as_long_as_the_headers_say() {
    let usage = r#"x-business-use-case-usage: {"7":[{"estimated_time_to_regain_access":5}]}"#;
    let date = "date: Thu, 01 Jan 2026 12:00:00 GMT";
    for (code, headers, expected) in [
        (130_429, vec!["retry-after: 9"], "throttle_sender 9"),
        (130_429, vec![usage], "throttle_sender 300"),
        (130_429, vec![usage, "retry-after: 900"], "throttle_sender 900"),
        (130_429, vec![usage, "retry-after: 9"], "throttle_sender 300"),
        (130_429, vec!["x-business-use-case-usage: broken", "retry-after: soon"], "throttle_sender 5"),
        (4, vec![date, "retry-after: Thu, 01 Jan 2026 12:02:00 GMT"], "throttle_sender 120"),
        (131_056, vec![usage, "retry-after: 16"], "throttle_pair 16"),
        (131_056, vec![usage], "throttle_pair"),
        (131_016, vec![usage, "retry-after: 7"], "retry 7"),
        (131_026, vec![usage, "retry-after: 7"], "recipient"),
    ] {
        let body = format!(r#"{{"error":{{"code":{code}}}}}"#);
        let outcome = outcome_of(Step::Answer(answer(400, &headers, &body))).await;
        assert_eq!(word(&outcome), expected, "{code} {headers:?}");
    }
}

#[tokio::test]
async fn what_breaks_before_the_request_is_written_is_safe_to_retry() {
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let refused = format!("http://{}", closed.local_addr().expect("bound"));
    drop(closed);
    // Too long for a name, so no resolver is asked.
    let unresolved = format!("http://{}.invalid", "a".repeat(64));
    // It reads a request's worth of handshake and never answers; the listener below answers in plain text.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let handshake_stalls = format!("https://{}", silent.local_addr().expect("bound"));
    let plain = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let not_tls = format!("https://{}", plain.local_addr().expect("bound"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = plain.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let client = client(Duration::from_secs(2));
    for base_url in [refused, unresolved, handshake_stalls, not_tls] {
        let outcome = send(&client, &base_url).await;
        assert_eq!(word(&outcome), "retry", "{base_url}: {outcome:?}");
    }
}

#[tokio::test]
async fn what_breaks_after_the_request_was_written_is_unknown() {
    let half = answer(200, &["content-length: 500"], r#"{"messages":[{"id":"wamid.1"}]"#);
    let huge = answer(200, &[], &format!(r#"{{"pad":"{}","messages":[{{"id":"w"}}]}}"#, "x".repeat(70_000)));
    for (name, step) in [
        ("closed without an answer", Step::Close(String::new())),
        ("reset without an answer", Step::Reset),
        ("closed within the head", Step::Close("HTTP/1.1 200 OK\r\ncontent-le".to_owned())),
        ("closed within the body", Step::Close(half)),
        ("not HTTP", Step::Close("garbage and more garbage\r\n\r\n".to_owned())),
        ("a huge body", Step::Answer(huge)),
        ("a body without an end", Step::Endless),
    ] {
        let started = Instant::now();
        assert_eq!(word(&outcome_of(step).await), "unknown", "{name}");
        assert!(started.elapsed() < Duration::from_secs(10), "{name} is noticed before the call's limit");
    }
}

#[tokio::test]
async fn the_time_limit_covers_the_answers_head_and_body() {
    for (step, expected) in [
        (Step::Stall(String::new()), "unknown"),
        (Step::Stall(answer(200, &["content-length: 500"], "{")), "unknown"),
        (Step::Stall(answer(502, &["content-length: 500"], "{")), "unknown"),
        (Step::Stall(answer(429, &["content-length: 500", "retry-after: 8"], "{")), "throttle_sender 8"),
    ] {
        let server = Server::start(vec![step]).await;
        let outcome = send(&client(Duration::from_millis(400)), &server.base_url).await;
        assert_eq!(word(&outcome), expected);
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_refusal_whose_reason_is_lost_is_retried_a_few_times() {
    let Outcome::Failed(failure) =
        outcome_of(Step::Close(answer(400, &["content-length: 500"], r#"{"error":"#))).await
    else {
        panic!("a 4xx is a refusal");
    };
    assert_eq!((failure.class, failure.retry_limit), (Class::Retry, Some(FEW_ATTEMPTS)));
}

#[tokio::test]
async fn a_request_written_to_a_reused_connection_is_never_sent_again() {
    for break_off in [Step::Close(String::new()), Step::Reset] {
        let steps = vec![
            Step::Answer(answer(200, &[], ACCEPTED)),
            break_off,
            Step::Answer(answer(200, &[], ACCEPTED)),
        ];
        let server = Server::start(steps).await;
        let client = client(Duration::from_secs(20));
        assert_eq!(word(&send(&client, &server.base_url).await), "accepted wamid.SAMPLE0001==");
        assert_eq!(word(&send(&client, &server.base_url).await), "unknown");
        assert_eq!(server.connections(), 1, "the connection was reused");
        assert_eq!(word(&send(&client, &server.base_url).await), "accepted wamid.SAMPLE0001==");
        assert_eq!(server.requests().len(), 3, "each call was one request");
    }
}

#[tokio::test]
async fn a_connection_that_closes_after_each_answer_never_makes_one_call_two_requests() {
    const CALLS: usize = 60;
    let steps = (0..CALLS).map(|_| Step::Close(answer(200, &[], ACCEPTED))).collect();
    let server = Server::start(steps).await;
    let client = client(Duration::from_secs(20));
    let mut accepted = 0;
    for _ in 0..CALLS {
        // Whether the close is noticed before the next request is written is a race; both ends of it are right.
        match send(&client, &server.base_url).await {
            Outcome::Accepted { .. } => accepted += 1,
            Outcome::Unknown { .. } => {}
            Outcome::Failed(failure) => panic!("{failure:?}"),
        }
    }
    assert!(server.requests().len() == accepted, "each request that was read is one accepted call");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Server::start(vec![Step::Answer(answer(200, &[], ACCEPTED))]).await;
    for status in [301, 302, 307, 308] {
        let location = format!("location: {}/10955/messages", elsewhere.base_url);
        assert_eq!(word(&outcome_of(Step::Answer(answer(status, &[&location], ""))).await), "instance");
    }
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn a_sender_that_cannot_be_called_is_an_instance_problem() {
    let client = client(Duration::from_secs(2));
    for base_url in ["", "graph.example", "ftp://127.0.0.1/v1"] {
        assert_eq!(word(&send(&client, base_url).await), "instance", "{base_url}");
    }
    let sender = Sender { base_url: "http://127.0.0.1:9", phone_number_id: "1", token: "two\nlines" };
    let outcome = client.send(&sender, &Outgoing { to: "966500000007", text: "t", mark: "o" }, None).await;
    let Outcome::Failed(Failure { class: Class::Instance, reason, .. }) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(!reason.contains("lines"), "{reason}");
}
