//! What the sandbox tells about itself.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Receiver, Stage, text_to};
use crate::sandbox::callbacks::plain_client;
use crate::sandbox::{Settings, run};

#[tokio::test]
async fn every_send_is_recorded_with_its_outcome() {
    let mut stage = Stage::start(Settings::default()).await;
    stage.client = plain_client(Duration::from_millis(200)).expect("a client");
    let rows = [
        ("0001", "accepted"),
        ("0010", "refused:131009"),
        ("0022", "refused:131016"),
        ("0031", "held"),
        ("0032", "closed"),
        ("0033", "without_id"),
        ("0034", "garbled"),
    ];
    for (ending, _) in rows {
        let _ = stage.send(ending).await;
    }
    let listing = stage.get("/sandbox/calls").await;
    assert_eq!(listing["total"], rows.len());
    for (call, (ending, outcome)) in listing["calls"].as_array().expect("calls").iter().zip(rows) {
        assert_eq!(call["to"], format!("+96650123{ending}"));
        assert_eq!((&call["opaque"], &call["outcome"]), (&json!(ending), &json!(outcome)));
        assert!(call["attempted_at"].as_str().is_some_and(|time| time.ends_with('Z')), "{call}");
    }
    stage.stop().await;
}

#[tokio::test]
async fn calls_can_be_filtered_and_forgotten() {
    let stage = Stage::start(Settings::default()).await;
    for ending in ["0001", "0020", "0001"] {
        stage.send(ending).await.expect("an answer");
    }
    assert_eq!(stage.get("/sandbox/calls?opaque=0001").await["total"], 2);
    assert_eq!(stage.get("/sandbox/calls?to=%2B966501230020").await["total"], 1);
    assert_eq!(stage.get("/sandbox/calls?to=+966501230020").await["total"], 1);
    assert_eq!(stage.get("/sandbox/calls?opaque=0002").await, json!({"total": 0, "calls": []}));

    let reset = stage.client.delete(format!("{}/sandbox/calls", stage.base)).send().await;
    assert_eq!(reset.expect("an answer").status().as_u16(), 204);
    assert_eq!(stage.get("/sandbox/calls").await["total"], 0);
    let again = stage.send("0020").await.expect("an answer");
    assert_eq!(again.status().as_u16(), 400, "the recipient is refused afresh");
    stage.stop().await;
}

#[tokio::test]
async fn a_body_that_is_not_json_is_recorded_too() {
    let stage = Stage::start(Settings::default()).await;
    let url = format!("{}/v23.0/1/messages", stage.base);
    let response = stage.client.post(url).body("{").send().await.expect("an answer");
    assert_eq!(response.status().as_u16(), 400);
    let listing = stage.get("/sandbox/calls").await;
    assert_eq!(listing["calls"][0]["outcome"], "refused:100");
    assert_eq!(listing["calls"][0]["to"], Value::Null);
    stage.stop().await;
}

#[tokio::test]
async fn callbacks_are_counted() {
    let (stage, mut receiver) = Stage::reporting().await;
    stage.send("0001").await.expect("an answer");
    receiver.updates(3).await;
    let settled = async {
        loop {
            let tally = stage.get("/sandbox/callbacks").await;
            if tally["open"] == 0 {
                break tally;
            }
        }
    };
    let tally = tokio::time::timeout(super::PATIENCE, settled).await.expect("it settles");
    assert_eq!(tally, json!({"open": 0, "posts": 3, "answered": 3, "given_up": 0, "dropped": 0}));
    stage.stop().await;
}

#[tokio::test]
async fn it_says_that_it_lives() {
    let stage = Stage::start(Settings::default()).await;
    let response = stage.client.get(format!("{}/livez", stage.base)).send().await.expect("an answer");
    assert_eq!(response.status().as_u16(), 200);
    stage.stop().await;
}

#[tokio::test]
async fn a_held_send_does_not_delay_the_shutdown() {
    let receiver = Receiver::start(0).await;
    let stage = Stage::start(receiver.settings(Duration::ZERO)).await;
    let (url, client) = (format!("{}/v23.0/1/messages", stage.base), stage.client.clone());
    let held = tokio::spawn(async move { client.post(url).json(&text_to("0031")).send().await });
    let met = async { while stage.get("/sandbox/calls").await["total"] == 0 {} };
    tokio::time::timeout(super::PATIENCE, met).await.expect("the call arrives");
    stage.stop().await;
    held.await.expect("no panic").expect_err("no answer");
}

#[tokio::test]
async fn an_address_that_is_not_plain_http_stops_the_start() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let settings = Settings { callback_url: Some("https://example.com/".into()), ..Settings::default() };
    let error =
        run(listener, settings, tokio_util::sync::CancellationToken::new()).await.expect_err("refused");
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}
