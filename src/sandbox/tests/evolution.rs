//! The same recipients on Evolution's wire.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::Stage;
use crate::sandbox::Settings;
use crate::sandbox::callbacks::plain_client;

impl Stage {
    async fn send_text(&self, body: &Value) -> Result<reqwest::Response, reqwest::Error> {
        self.client.post(format!("{}/message/sendText/shop%202", self.base)).json(body).send().await
    }
}

fn text_to(ending: &str) -> Value {
    json!({
        "number": format!("96650123{ending}"), "text": "Your order 1042 is confirmed.", "linkPreview": false,
        "messageId": format!("3EB0{ending}"),
    })
}

#[tokio::test]
async fn each_recipient_gets_evolutions_answers_of_the_table() {
    let stage = Stage::start(Settings::default()).await;
    let look_up = json!("Cannot read properties of undefined (reading 'find')");
    let taken = || (201, Value::Null);
    let rows: [(&str, Vec<(u16, Value)>); 12] = [
        ("0001", vec![taken()]),
        ("4711", vec![taken()]),
        ("0010", vec![(400, json!([["Invalid format"]]))]),
        (
            "0011",
            vec![(
                400,
                json!([{"jid": "966501230011@s.whatsapp.net", "exists": false, "number": "966501230011"}]),
            )],
        ),
        ("0012", vec![taken()]),
        ("0013", vec![(500, json!("write EPIPE"))]),
        ("0020", vec![(500, json!("Connection Closed")), taken(), taken()]),
        ("0022", vec![(500, look_up.clone()), (500, look_up.clone()), taken()]),
        ("0023", vec![(500, look_up.clone()), (500, look_up.clone()), (500, look_up.clone())]),
        ("0040", vec![(401, json!("Unauthorized"))]),
        ("0041", vec![(503, Value::Null)]),
        ("0042", vec![(400, json!(["Error: Connection Closed"]))]),
    ];
    for (ending, expected) in rows {
        for (status, message) in expected {
            let response = stage.send_text(&text_to(ending)).await.expect("an answer");
            assert_eq!(response.status().as_u16(), status, "…{ending}");
            let body: Value = response.json().await.expect("JSON");
            assert_eq!(body["response"]["message"], message, "…{ending}");
            assert_eq!(body["key"]["id"].is_string(), status == 201, "…{ending}");
            assert_eq!(body["code"] == "LICENSE_REQUIRED", ending == "0041");
        }
    }
    stage.stop().await;
}

#[tokio::test]
async fn evolutions_answers_may_not_come_or_lack_the_id() {
    let mut stage = Stage::start(Settings::default()).await;
    for (ending, whole) in [("0033", true), ("0034", false)] {
        let response = stage.send_text(&text_to(ending)).await.expect("an answer");
        assert_eq!(response.status(), StatusCode::CREATED);
        let body = response.json::<Value>().await;
        assert_eq!(body.as_ref().is_ok_and(|body| body["key"].is_object()), whole);
        assert!(body.map_or(Value::Null, |body| body["key"]["id"].clone()).is_null());
    }
    assert!(!stage.send_text(&text_to("0032")).await.expect_err("no answer").is_timeout());
    let half = stage.send_text(&text_to("0035")).await.expect("an answer begins");
    assert!(half.bytes().await.is_err(), "and breaks");
    stage.client = plain_client(Duration::from_millis(200)).expect("a client");
    for ending in ["0030", "0031"] {
        assert!(stage.send_text(&text_to(ending)).await.expect_err("no answer").is_timeout(), "…{ending}");
    }
    let calls = stage.get("/sandbox/calls").await["calls"].clone();
    let outcomes: Vec<&Value> =
        calls.as_array().expect("a list").iter().map(|call| &call["outcome"]).collect();
    assert_eq!(outcomes, ["without_id", "garbled", "closed", "cut_off", "held", "held"]);
    assert_eq!((&calls[0]["to"], &calls[0]["opaque"]), (&json!("966501230033"), &json!("3EB00033")));
    stage.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_told_in_evolutions_shape() {
    let stage = Stage::start(Settings::default()).await;
    for (name, value, message) in [
        ("text", Value::Null, json!([["instance requires property \"text\""]])),
        ("number", json!(966_501_230_001_u64), json!([["Invalid format"]])),
        ("text", json!(" \n"), json!(["Text is required"])),
    ] {
        let mut body = text_to("0001");
        body[name] = value;
        let response = stage.send_text(&body).await.expect("an answer");
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        let answer: Value = response.json().await.expect("JSON");
        assert_eq!(answer, json!({"status": 400, "error": "Bad Request", "response": {"message": message}}));
    }
    stage.stop().await;
}

#[tokio::test]
async fn a_key_is_required_where_one_is_set() {
    let stage = Stage::start(Settings { token: Some("the-key".into()), ..Settings::default() }).await;
    let url = format!("{}/message/sendText/shop", stage.base);
    for (key, status) in [("the-key", 201), ("another", 401)] {
        let request = stage.client.post(&url).header("apikey", key).json(&text_to("0001"));
        assert_eq!(request.send().await.expect("an answer").status().as_u16(), status, "{key}");
    }
    let state = stage.client.get(format!("{}/instance/connectionState/shop", stage.base));
    let state = state.header("apikey", "the-key").send().await.expect("an answer");
    let state: Value = state.json().await.expect("JSON");
    assert_eq!(state, json!({"instance": {"instanceName": "shop", "state": "open"}}));
    let set = stage.client.post(format!("{}/webhook/set/shop", stage.base));
    let set = set.json(&json!({"webhook": {}})).send().await.expect("an answer");
    assert_eq!(set.status(), StatusCode::UNAUTHORIZED);
    stage.stop().await;
}
