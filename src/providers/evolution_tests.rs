//! [`EvolutionClient`] against a server that answers, stalls and breaks on command.

use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpListener;

use super::evolution::{CallError, EvolutionClient, Sender, Vouching};
use super::scripted_server::{Server, Step, answer};
use super::{ClientSettings, Outgoing};
use crate::domain::instance::Connection;
use crate::domain::outcome::{Class, Failure, Outcome};

const ACCEPTED: &str = include_str!("../../tests/fixtures/evolution/send_text_response.json");
const ERRORS: &str = include_str!("../../tests/fixtures/evolution/send_errors.json");
const AMPLE: Duration = Duration::from_secs(20);

fn client(call_timeout: Duration) -> EvolutionClient {
    // Another test of this process may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    EvolutionClient::new(&ClientSettings { call_timeout, ..ClientSettings::default() })
        .expect("TLS is installed")
}

fn sender(base_url: &str) -> Sender<'_> {
    Sender { base_url, instance: "warehouse 2", token: "key-of-the-server" }
}

async fn send(client: &EvolutionClient, base_url: &str) -> Outcome {
    let message = Outgoing { to: "966500000007", text: "مرحبا", mark: "3EB0AABBCCDDEEFF001122" };
    client.send(&sender(base_url), &message).await
}

/// Sends one message to a server that takes `step`, with ample time.
async fn outcome_of(step: Step) -> Outcome {
    let server = Server::start(vec![step]).await;
    let outcome = send(&client(AMPLE), &server.base_url).await;
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
async fn a_message_is_posted_with_the_servers_key_and_accepted_by_its_id() {
    let server = Server::start(vec![Step::Answer(answer(201, &[], ACCEPTED))]).await;
    let outcome = send(&client(AMPLE), &format!("{}/", server.base_url)).await;
    assert_eq!(word(&outcome), "accepted 3EB0F1E2D3C4B5A6978801");
    let request = server.requests().remove(0);
    let (head, body) = request.split_once("\r\n\r\n").expect("a whole request");
    assert!(head.starts_with("POST /v23.0/message/sendText/warehouse%202 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("\r\napikey: key-of-the-server"), "{head}");
    assert!(head.contains("\r\ncontent-type: application/json"), "{head}");
    assert!(!head.to_lowercase().contains("authorization"), "{head}");
    let expected = r#"{"number":"966500000007","text":"مرحبا","linkPreview":false,"messageId":"3EB0AABBCCDDEEFF001122"}"#;
    assert_eq!(body, expected);
}

#[tokio::test]
async fn every_sample_error_is_classified() {
    let samples: Vec<Value> = serde_json::from_str(ERRORS).expect("the fixture is JSON");
    assert!(samples.len() > 20);
    for sample in samples {
        let status = u16::try_from(sample["http"].as_u64().expect("a status")).expect("a status");
        let expected = sample["class"].as_str().expect("a class");
        let outcome = outcome_of(Step::Answer(answer(status, &[], &sample["body"].to_string()))).await;
        assert_eq!(word(&outcome), expected, "{}", sample["name"]);
        if let Outcome::Failed(failure) = outcome {
            assert!(!failure.opt_out && !failure.reason.contains("9665"), "{}", sample["name"]);
        }
    }
}

#[tokio::test]
async fn an_answer_of_something_else_than_evolution_is_judged_by_its_status() {
    for (status, body, expected) in [
        (200, "", "unknown"),
        (201, "{}", "unknown"),
        (201, "<html>hello</html>", "unknown"),
        (204, "", "unknown"),
        (302, "", "instance"),
        (400, "<html>", "unknown"),
        (401, "", "instance"),
        (403, "<html>", "instance"),
        (404, "<html>", "instance"),
        (405, "", "instance"),
        (408, "", "retry"),
        (409, "", "unknown"),
        (413, "<html>", "permanent"),
        (429, "", "throttle_sender 30"),
        (500, "", "unknown"),
        (502, "<html>Bad Gateway</html>", "unknown"),
        (503, "<html>Service Unavailable</html>", "unknown"),
        (503, "<html>No server is available to handle this request.\n</html>", "retry"),
        (503, "no available server\n", "retry"),
        (504, "", "unknown"),
    ] {
        let outcome = outcome_of(Step::Answer(answer(status, &[], body))).await;
        assert_eq!(word(&outcome), expected, "{status} {body}");
    }
}

#[tokio::test]
async fn words_that_are_known_count_only_with_their_status() {
    let connection_closed = r#"{"response":{"message":["Error: Connection Closed"]}}"#;
    let not_there = r#"{"response":{"message":[{"exists":false}]}}"#;
    let malformed = r#"{"response":{"message":[["Invalid format"]]}}"#;
    for (status, body) in [(502, connection_closed), (500, not_there), (500, malformed), (504, not_there)] {
        assert_eq!(word(&outcome_of(Step::Answer(answer(status, &[], body))).await), "unknown", "{status}");
    }
}

#[tokio::test]
async fn a_throttle_waits_as_long_as_the_header_says() {
    for (status, body, expected) in
        [(429, "", "throttle_sender 9"), (503, "no available server", "retry 9"), (401, "", "instance")]
    {
        let outcome = outcome_of(Step::Answer(answer(status, &["retry-after: 9"], body))).await;
        assert_eq!(word(&outcome), expected);
    }
}

#[tokio::test]
async fn what_breaks_before_the_request_is_written_is_safe_to_retry() {
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let refused = format!("http://{}", closed.local_addr().expect("bound"));
    drop(closed);
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let handshake_stalls = format!("https://{}", silent.local_addr().expect("bound"));
    for base_url in [refused, handshake_stalls] {
        let outcome = send(&client(Duration::from_secs(2)), &base_url).await;
        assert_eq!(word(&outcome), "retry", "{base_url}: {outcome:?}");
    }
}

#[tokio::test]
async fn what_breaks_after_the_request_was_written_is_unknown() {
    let half = answer(201, &["content-length: 500"], r#"{"key":{"id":"3EB0"}"#);
    for (name, step) in [
        ("closed without an answer", Step::Close(String::new())),
        ("reset without an answer", Step::Reset),
        ("closed within the head", Step::Close("HTTP/1.1 201 Created\r\ncontent-le".to_owned())),
        ("closed within the body", Step::Close(half)),
        (
            "a refusal whose words are lost",
            Step::Close(answer(400, &["content-length: 500"], r#"{"status":"#)),
        ),
        ("not HTTP", Step::Close("garbage and more garbage\r\n\r\n".to_owned())),
        ("a body without an end", Step::Endless),
    ] {
        assert_eq!(word(&outcome_of(step).await), "unknown", "{name}");
    }
}

#[tokio::test]
async fn the_time_limit_covers_the_answers_head_and_body() {
    for step in [
        Step::Stall(String::new()),
        Step::Stall(answer(201, &["content-length: 500"], "{")),
        Step::Stall(answer(400, &["content-length: 500"], "{")),
    ] {
        let server = Server::start(vec![step]).await;
        let outcome = send(&client(Duration::from_millis(400)), &server.base_url).await;
        assert_eq!(word(&outcome), "unknown");
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_request_written_to_a_reused_connection_is_never_sent_again() {
    for break_off in [Step::Close(String::new()), Step::Reset] {
        let steps = vec![
            Step::Answer(answer(201, &[], ACCEPTED)),
            break_off,
            Step::Answer(answer(201, &[], ACCEPTED)),
        ];
        let server = Server::start(steps).await;
        let client = client(AMPLE);
        assert_eq!(word(&send(&client, &server.base_url).await), "accepted 3EB0F1E2D3C4B5A6978801");
        assert_eq!(word(&send(&client, &server.base_url).await), "unknown");
        assert_eq!(server.connections(), 1, "the connection was reused");
        assert_eq!(server.requests().len(), 2, "each call was one request");
    }
}

#[tokio::test]
async fn a_sender_that_cannot_be_called_is_an_instance_problem() {
    let client = client(Duration::from_secs(2));
    for base_url in ["", "evolution.example", "ftp://127.0.0.1"] {
        assert_eq!(word(&send(&client, base_url).await), "instance", "{base_url}");
    }
    let sender = Sender { base_url: "http://127.0.0.1:9", instance: "i", token: "two\nlines" };
    let outcome = client.send(&sender, &Outgoing { to: "966500000007", text: "t", mark: "m" }).await;
    let Outcome::Failed(Failure { class: Class::Instance, reason, .. }) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(!reason.contains("lines"), "{reason}");
}

#[tokio::test]
async fn a_webhook_is_set_with_its_token_in_a_header() {
    let steps = vec![Step::Answer(answer(201, &[], "{}")), Step::Answer(answer(401, &[], "")), Step::Reset];
    let server = Server::start(steps).await;
    let client = client(AMPLE);
    let set = || async {
        let url = "https://gate.example/callbacks/evolution/t0k";
        client.set_webhook(&sender(&server.base_url), url, Vouching::Token("t0k")).await
    };
    assert!(set().await.is_ok());
    assert!(matches!(set().await, Err(CallError::Refused(401))));
    assert!(matches!(set().await, Err(CallError::NoAnswer(_))));
    let request = server.requests().remove(0);
    let (head, body) = request.split_once("\r\n\r\n").expect("a whole request");
    assert!(head.starts_with("POST /v23.0/webhook/set/warehouse%202 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("\r\napikey: key-of-the-server"), "{head}");
    let body: Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(body["webhook"]["headers"]["X-Gateway-Token"], "t0k");
}

#[tokio::test]
async fn a_connection_is_open_only_where_the_server_says_so() {
    let state = |state: &str| answer(200, &[], &format!(r#"{{"instance":{{"instanceName":"w"{state}}}}}"#));
    for (step, expected) in [
        (state(r#","state":"open""#), Some(Connection::Open)),
        (state(r#","state":"connecting""#), Some(Connection::Connecting)),
        (state(r#","state":"close""#), Some(Connection::Close)),
        (state(r#","state":"refused""#), Some(Connection::Close)),
        (state(""), Some(Connection::Close)),
        (answer(404, &[], ""), None),
        (answer(200, &[], "<html>"), None),
    ] {
        let server = Server::start(vec![Step::Answer(step)]).await;
        let found = client(AMPLE).connection_state(&sender(&server.base_url)).await.ok();
        assert_eq!(found, expected);
        let request = server.requests().remove(0);
        assert!(request.starts_with("GET /v23.0/instance/connectionState/warehouse%202 HTTP/1.1\r\n"));
    }
}
