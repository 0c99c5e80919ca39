//! What is reported by callback.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;

use super::{Receiver, SENDER, Stage};
use crate::sandbox::Settings;
use crate::sandbox::callbacks::plain_client;

#[tokio::test]
async fn each_recipient_is_reported_as_in_the_table() {
    let rows: [(&str, &[&str]); 13] = [
        ("0001", &["0001 sent", "0001 delivered", "0001 read"]),
        ("4711", &["4711 sent", "4711 delivered", "4711 read"]),
        ("0002", &["0002 sent", "0002 delivered"]),
        ("0004", &["0004 failed"]),
        ("0020", &["0020 sent", "0020 delivered", "0020 read"]),
        ("0022", &["0022 sent", "0022 delivered", "0022 read"]),
        ("0050", &["0050 sent", "0050 delivered", "966501230050 \"STOP\""]),
        ("0051", &["0051 sent", "0051 delivered", "966501230051 \"إيقاف\""]),
        ("0052", &["0052 sent", "0052 delivered", "966501230052 \"START\""]),
        ("0005", &["0005 sent", "0005 failed"]),
        ("0053", &["0053 sent", "0053 delivered", "966501230053 \"STOP\" (button)"]),
        ("0056", &["0056 sent", "0056 delivered", "966501230056 \"START\" (list)"]),
        ("0060", &["0060 read", "0060 delivered", "0060 sent", "0060 sent"]),
    ];
    for (ending, expected) in rows {
        let (stage, mut receiver) = Stage::reporting().await;
        for _ in 0..3 {
            let answer = stage.send(ending).await.expect("an answer");
            if answer.status() == StatusCode::OK {
                break;
            }
        }
        assert_eq!(receiver.updates(expected.len()).await, expected, "…{ending}");
        stage.stop().await;
        assert_eq!(receiver.updates(0).await.len(), expected.len(), "…{ending} reports no more");
    }
}

#[tokio::test]
async fn refused_and_silent_recipients_are_not_reported() {
    let (mut stage, mut receiver) = Stage::reporting().await;
    stage.client = plain_client(Duration::from_millis(200)).expect("a client");
    for ending in ["0003", "0010", "0011", "0012", "0023", "0031", "0032", "0033", "0034", "0040"] {
        // Whether and how it is answered is tested elsewhere.
        let _ = stage.send(ending).await;
    }
    stage.stop().await;
    assert_eq!(receiver.updates(0).await, [""; 0]);
}

#[tokio::test]
async fn a_held_send_is_reported_although_it_was_never_answered() {
    let (mut stage, mut receiver) = Stage::reporting().await;
    stage.client = plain_client(Duration::from_millis(200)).expect("a client");
    stage.send("0030").await.expect_err("no answer");
    assert_eq!(receiver.updates(3).await, ["0030 sent", "0030 delivered", "0030 read"]);
    stage.stop().await;
}

#[tokio::test]
async fn a_status_names_the_message_and_its_sender() {
    let (stage, mut receiver) = Stage::reporting().await;
    let answer: serde_json::Value = stage.send("0004").await.expect("an answer").json().await.expect("JSON");
    let posts = receiver.posts(1).await;
    let value = &posts[0].body["entry"][0]["changes"][0]["value"];
    assert_eq!(value["metadata"]["phone_number_id"], SENDER);
    assert_eq!(value["statuses"][0]["id"], answer["messages"][0]["id"]);
    assert_eq!(value["statuses"][0]["recipient_id"], "966501230004");
    assert_eq!(value["statuses"][0]["errors"][0]["code"], 131_026);
    stage.stop().await;
}

#[tokio::test]
async fn a_callback_is_repeated_byte_for_byte_until_it_is_taken() {
    let mut receiver = Receiver::start(2).await;
    let stage = Stage::start(receiver.settings(Duration::ZERO)).await;
    stage.send("0004").await.expect("an answer");
    let posts = receiver.posts(3).await;
    assert!(posts.iter().all(|post| post.raw == posts[0].raw));
    stage.stop().await;
    assert_eq!(receiver.posts(0).await.len(), 3);
}

#[tokio::test]
async fn a_callback_is_given_up_after_its_attempts() {
    let mut receiver = Receiver::start(usize::MAX).await;
    let settings = Settings { callback_attempts: 2, ..receiver.settings(Duration::ZERO) };
    let stage = Stage::start(settings).await;
    stage.send("0004").await.expect("an answer");
    receiver.posts(2).await;
    stage.stop().await;
    assert_eq!(receiver.posts(0).await.len(), 2);
}

#[tokio::test]
async fn a_text_can_be_written_by_hand() {
    let (stage, mut receiver) = Stage::reporting().await;
    let url = format!("{}/sandbox/inbound", stage.base);
    let write = |from: &str| {
        let body = json!({"from": from, "text": "STOP", "phone_number_id": SENDER});
        stage.client.post(&url).json(&body).send()
    };
    assert_eq!(write("someone").await.expect("an answer").status(), StatusCode::BAD_REQUEST);
    assert_eq!(write("+966 50 123 4711").await.expect("an answer").status(), StatusCode::ACCEPTED);
    assert_eq!(receiver.updates(1).await, ["966501234711 \"STOP\""]);
    stage.stop().await;

    let deaf = Stage::start(Settings::default()).await;
    let body = json!({"from": "+966501234711", "text": "STOP", "phone_number_id": SENDER});
    let response = deaf.client.post(format!("{}/sandbox/inbound", deaf.base)).json(&body).send().await;
    assert_eq!(response.expect("an answer").status(), StatusCode::CONFLICT);
    deaf.stop().await;
}

#[tokio::test]
async fn a_shutdown_posts_what_is_still_waiting() {
    let mut receiver = Receiver::start(0).await;
    let stage = Stage::start(receiver.settings(Duration::from_hours(1))).await;
    stage.send("0001").await.expect("an answer");
    stage.stop().await;
    assert_eq!(receiver.updates(0).await, ["0001 sent", "0001 delivered", "0001 read"]);
}

#[tokio::test]
async fn many_updates_share_a_post() {
    let mut receiver = Receiver::start(0).await;
    let stage = Stage::start(receiver.settings(Duration::from_hours(1))).await;
    for _ in 0..120 {
        stage.send("0002").await.expect("an answer");
    }
    stage.stop().await;
    let posts = receiver.posts(0).await;
    assert_eq!(super::updates(&posts).len(), 240);
    assert!(posts.iter().all(|post| super::updates(std::slice::from_ref(post)).len() <= 100));
    assert!(posts.len() < 40, "{} POSTs", posts.len());
}
