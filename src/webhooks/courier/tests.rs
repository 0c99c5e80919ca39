use std::time::Duration;

use standardwebhooks::Webhook;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::{Answer, Claim, Courier, Failure, secret_context};
use crate::config::Config;
use crate::domain::event::Event;
use crate::domain::id::DeliveryKey;
use crate::runtime::clock::Clock;
use crate::runtime::secrets::new_webhook_secret;
use crate::webhooks::answer::KEPT_BYTES;

const LOOPBACK: &str = "127.0.0.0/8";

pub(super) fn config(environment: &str, allow: &str, timeout: &str) -> Config {
    let lookup = |name: &str| {
        let value = match name {
            "DATABASE_URL" => "postgres://h/d",
            "AMQP_URL" => "amqp://h",
            "GATEPOST_SECRET_KEY" => "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            "GATEPOST_ENV" => environment,
            "GATEPOST_WEBHOOK_ALLOW" => allow,
            "GATEPOST_WEBHOOK_TIMEOUT_MS" => timeout,
            _ => return None,
        };
        Some(value.to_owned())
    };
    Config::read(&lookup).unwrap()
}

fn courier(config: &Config) -> Courier {
    drop(rustls::crypto::ring::default_provider().install_default());
    Courier::new(config, Clock::system(), 4).unwrap()
}

pub(super) fn claim(config: &Config, url: &str, secret: &str) -> Claim {
    let key = DeliveryKey { account_id: 1, event_id: Uuid::now_v7(), endpoint_id: Uuid::nil() };
    let context = secret_context(key.account_id, key.endpoint_id);
    Claim {
        key,
        attempt: 1,
        url: url.to_owned(),
        secret: config.secret_key.seal(&context, secret.as_bytes()),
        previous_secret: None,
        failing: false,
        event_age: Duration::ZERO,
        event: Event {
            event_id: key.event_id,
            kind: "recipient.opted_out".to_owned(),
            instance_id: "demo-support-line".to_owned(),
            instance_name: "Demo Support Line".to_owned(),
            message_id: None,
            log_id: None,
            recipient: Some("966500000000".to_owned()),
            status: None,
            previous_status: None,
            sequence: None,
            error: None,
            reason: Some("recipient_requested_stop".to_owned()),
            message_text: Some("STOP".to_owned()),
            request_id: None,
            occurred_at: "2026-05-08T10:00:00Z".parse().unwrap(),
        },
    }
}

/// A server that answers one request with these bytes, keeps the connection open, and gives what it was sent.
async fn receiver(answer: Vec<u8>) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        while !heard.ends_with(b"}") {
            stream.read_buf(&mut heard).await.unwrap();
        }
        stream.write_all(&answer).await.unwrap();
        // Until the other side is done with it.
        while stream.read_buf(&mut heard).await.is_ok_and(|read| read > 0) {}
        String::from_utf8(heard).unwrap()
    });
    (url, served)
}

async fn answer_to(bytes: impl Into<Vec<u8>>, timeout: &str) -> Answer {
    let config = config("development", LOOPBACK, timeout);
    let (url, _served) = receiver(bytes.into()).await;
    courier(&config).send(&claim(&config, &url, &new_webhook_secret())).await
}

#[tokio::test]
async fn a_webhook_is_the_documents_json_signed_as_the_published_library_expects() {
    let config = config("development", LOOPBACK, "5000");
    let secret = new_webhook_secret();
    let (url, served) = receiver(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec()).await;
    let courier = courier(&config);
    let claim = claim(&config, &url, &secret);
    let answer = courier.send(&claim).await;
    assert_eq!((answer.failure, answer.text.as_deref()), (None, Some("ok")));
    drop(courier);

    let request = served.await.unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /hook HTTP/1.1\r\n"), "{head}");
    assert_eq!(body, claim.event.payload());
    let mut headers = reqwest::header::HeaderMap::new();
    for (name, value) in head.lines().filter_map(|line| line.split_once(": ")) {
        headers.insert(reqwest::header::HeaderName::try_from(name).unwrap(), value.parse().unwrap());
    }
    Webhook::new(&secret).unwrap().verify(body.as_bytes(), &headers).unwrap();
    assert_eq!(headers["webhook-id"], claim.event.event_id.to_string());
    assert_eq!(headers["content-type"], "application/json");
    assert!(headers["user-agent"].to_str().unwrap().starts_with("Gatepost/"));
    assert!(!headers.contains_key("accept-encoding"));
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_not_followed() {
    let answer =
        answer_to("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n", "5000")
            .await;
    assert_eq!(answer.failure, Some(Failure::Redirect));
    assert_eq!(answer.status.unwrap(), 302);
}

#[tokio::test]
async fn an_endless_answer_is_cut_and_its_status_counts() {
    let mut bytes = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    bytes.resize(bytes.len() + 2 * KEPT_BYTES, b'x');
    let answer = answer_to(bytes, "5000").await;
    assert_eq!(answer.failure, None);
    assert_eq!(answer.text.unwrap().len(), KEPT_BYTES);
}

#[tokio::test]
async fn the_time_limit_covers_the_body_and_what_was_heard_is_kept() {
    let answer = answer_to("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", "300").await;
    assert_eq!((answer.failure, answer.text.as_deref()), (Some(Failure::Timeout), Some("half")));
    assert!(answer.duration < Duration::from_secs(3));
    let answer =
        answer_to("HTTP/1.1 503 No\r\nretry-after: 9\r\ncontent-length: 10\r\n\r\nhalf", "300").await;
    assert_eq!((answer.failure, answer.retry_after), (Some(Failure::Status), Some(Duration::from_secs(9))));
    let answer = answer_to("", "300").await;
    assert_eq!((answer.failure, answer.status), (Some(Failure::Timeout), None));
}

#[tokio::test]
async fn what_cannot_be_sent_is_told_apart() {
    let refused = [
        ("production", "", "http://example.com/", Failure::InsecureUrl),
        ("development", "", "ftp://example.com/", Failure::Url),
        ("development", "", "no url", Failure::Url),
        ("production", "", "https://127.0.0.1/", Failure::Address),
        ("production", "", "https://2130706433/", Failure::Address),
        ("production", "", "https://0x7f.1/", Failure::Address),
        ("production", "", "https://0177.0.0.1/", Failure::Address),
        ("production", "", "https://169.254.169.254/latest/meta-data", Failure::Address),
        ("production", "", "https://[::1]/", Failure::Address),
        ("production", "", "https://[::ffff:10.0.0.1]/", Failure::Address),
        ("production", "", "https://[64:ff9b::a00:1]/", Failure::Address),
        ("production", "", "https://localhost/", Failure::Address),
        ("production", "", "https://127.0.0.1./", Failure::Address),
        ("production", "", "https://127.1/", Failure::Address),
        ("production", "", "https://0x7f000001/", Failure::Address),
        ("production", "", "https://017700000001/", Failure::Address),
        ("production", "", "https://1%327.0.0.1/", Failure::Address),
        ("production", "", "https://\u{ff11}\u{ff12}\u{ff17}\u{3002}0.0.1/", Failure::Address),
        ("production", "", "https://example.com@127.0.0.1/", Failure::Address),
        ("production", "", "https://example.com:443@127.0.0.1/", Failure::Address),
        ("production", "", r"https://127.0.0.1\@example.com/", Failure::Address),
        ("production", "", "https://127.0.0.1#@example.com/", Failure::Address),
        ("production", "", "https:127.0.0.1/", Failure::Address),
        ("production", "", "https:///127.0.0.1/", Failure::Address),
        ("production", "", "https://[::ffff:7f00:1]/", Failure::Address),
        ("production", "", "https://[0:0:0:0:0:ffff:127.0.0.1]/", Failure::Address),
        ("production", "", "https://[::127.0.0.1]/", Failure::Address),
        ("production", "", "https://[2002:7f00:1::]/", Failure::Address),
        ("production", "", "https://[fe80::1%25eth0]/", Failure::Url),
        ("production", "", "https://256.0.0.1/", Failure::Url),
        ("production", "", "https://127.0.0.1.5/", Failure::Url),
        ("production", "", "https://exa mple.com/", Failure::Url),
        ("production", "", "javascript:alert(1)", Failure::Url),
        ("production", "", "file:///etc/passwd", Failure::Url),
        ("development", LOOPBACK, "http://127.0.0.1:1/", Failure::Connect),
    ];
    for (environment, allow, url, expected) in refused {
        let config = config(environment, allow, "5000");
        let answer = courier(&config).send(&claim(&config, url, &new_webhook_secret())).await;
        assert_eq!(answer.failure, Some(expected), "{url}");
    }
    let config = config("development", LOOPBACK, "5000");
    for secret in ["", "no secret"] {
        let answer = courier(&config).send(&claim(&config, "http://127.0.0.1:1/", secret)).await;
        assert_eq!(answer.failure, Some(Failure::Secret));
    }
    let mut copied = claim(&config, "http://127.0.0.1:1/", &new_webhook_secret());
    copied.key.endpoint_id = Uuid::max();
    assert_eq!(courier(&config).send(&copied).await.failure, Some(Failure::Secret));
}
