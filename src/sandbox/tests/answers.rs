//! What a send is answered.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{SENDER, Stage, text_to};
use crate::sandbox::Settings;
use crate::sandbox::callbacks::plain_client;

/// The status and Meta's error code, 0 for none.
async fn answer(stage: &Stage, body: &Value) -> (u16, u64) {
    let response = stage.send_body(body).await.expect("an answer");
    let status = response.status().as_u16();
    let body: Value = response.json().await.expect("JSON");
    (status, body["error"]["code"].as_u64().unwrap_or(0))
}

#[tokio::test]
async fn each_recipient_gets_the_answers_of_the_table() {
    let stage = Stage::start(Settings::default()).await;
    let rows: [(&str, &[(u16, u64)]); 17] = [
        ("0001", &[(200, 0), (200, 0)]),
        ("4711", &[(200, 0), (200, 0)]),
        ("0002", &[(200, 0)]),
        ("0003", &[(200, 0)]),
        ("0004", &[(200, 0)]),
        ("0010", &[(400, 131_009), (400, 131_009)]),
        ("0011", &[(400, 131_026), (400, 131_026)]),
        ("0012", &[(400, 131_047), (400, 131_047)]),
        ("0020", &[(400, 130_429), (200, 0), (200, 0)]),
        ("0021", &[(400, 131_056), (200, 0), (200, 0)]),
        ("0022", &[(500, 131_016), (500, 131_016), (200, 0)]),
        ("0023", &[(503, 2), (503, 2), (503, 2), (503, 2)]),
        ("0040", &[(401, 190), (401, 190)]),
        ("0050", &[(200, 0)]),
        ("0051", &[(200, 0)]),
        ("0052", &[(200, 0)]),
        ("0060", &[(200, 0)]),
    ];
    for (ending, expected) in rows {
        for (attempt, expected) in expected.iter().enumerate() {
            let answer = answer(&stage, &text_to(ending)).await;
            assert_eq!(answer, *expected, "…{ending}, attempt {}", attempt + 1);
        }
    }
    stage.stop().await;
}

#[tokio::test]
async fn an_accepted_text_is_answered_as_by_meta() {
    let stage = Stage::start(Settings::default()).await;
    let mut answer: Value = stage.send("0001").await.expect("an answer").json().await.expect("JSON");
    let id = answer["messages"][0]["id"].take();
    assert!(id.as_str().is_some_and(|id| id.starts_with("wamid.")), "{id}");
    assert_eq!(
        answer,
        json!({
            "messaging_product": "whatsapp",
            "contacts": [{"input": "+966501230001", "wa_id": "966501230001"}],
            "messages": [{"id": null}],
        })
    );

    let mut template = text_to("0001");
    template["type"] = json!("template");
    template["template"] = json!({"name": "order_ready_v1", "language": {"code": "ar"}});
    let answer: Value = stage.send_body(&template).await.expect("an answer").json().await.expect("JSON");
    assert_eq!(answer["messages"][0]["message_status"], "accepted");
    stage.stop().await;
}

#[tokio::test]
async fn a_held_send_outlasts_the_client() {
    let mut stage = Stage::start(Settings::default()).await;
    stage.client = plain_client(Duration::from_millis(200)).expect("a client");
    for ending in ["0030", "0031"] {
        let error = stage.send(ending).await.expect_err("no answer");
        assert!(error.is_timeout(), "…{ending}: {error:?}");
    }
    stage.stop().await;
}

#[tokio::test]
async fn a_held_send_ends_with_its_hold_without_an_answer() {
    let stage = Stage::start(Settings { hold: Duration::from_millis(20), ..Settings::default() }).await;
    let error = stage.send("0030").await.expect_err("no answer");
    assert!(error.is_request() && !error.is_timeout(), "{error:?}");
    stage.stop().await;
}

#[tokio::test]
async fn a_closed_connection_carries_no_answer() {
    let stage = Stage::start(Settings::default()).await;
    let error = stage.send("0032").await.expect_err("no answer");
    assert!(error.is_request() && !error.is_timeout() && !error.is_connect(), "{error:?}");
    stage.stop().await;
}

#[tokio::test]
async fn an_answer_may_lack_the_id_or_all_sense() {
    let stage = Stage::start(Settings::default()).await;
    let response = stage.send("0033").await.expect("an answer");
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.json::<Value>().await.expect("JSON")["messages"], json!([]));

    let response = stage.send("0034").await.expect("an answer");
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.json::<Value>().await.is_err());
    stage.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_told_in_metas_shape() {
    let stage = Stage::start(Settings::default()).await;
    let mut long = text_to("0001");
    long["text"]["body"] = json!("x".repeat(4097));
    let mut answer: Value = stage.send_body(&long).await.expect("an answer").json().await.expect("JSON");
    answer["error"]["fbtrace_id"].take();
    assert_eq!(
        answer,
        json!({"error": {
            "message": "(#100) Invalid parameter",
            "type": "OAuthException",
            "code": 100,
            "error_data": {
                "messaging_product": "whatsapp",
                "details": "Param text.body must be at most 4096 characters long.",
            },
            "fbtrace_id": null,
        }})
    );
    stage.stop().await;
}

#[tokio::test]
async fn a_token_is_required_where_one_is_set() {
    let stage = Stage::start(Settings { token: Some("the-token".into()), ..Settings::default() }).await;
    let url = format!("{}/v23.0/{SENDER}/messages", stage.base);
    for (token, status) in [("the-token", 200), ("another", 401)] {
        let request = stage.client.post(&url).bearer_auth(token).json(&text_to("0001"));
        assert_eq!(request.send().await.expect("an answer").status().as_u16(), status, "{token}");
    }
    assert_eq!(answer(&stage, &text_to("0001")).await, (401, 190));
    assert_eq!(stage.get(&format!("/v23.0/{SENDER}")).await["error"]["code"], 190);
    stage.stop().await;
}

#[tokio::test]
async fn the_sender_is_shown_as_by_meta() {
    let stage = Stage::start(Settings::default()).await;
    assert_eq!(
        stage.get(&format!("/v23.0/{SENDER}?fields=display_phone_number,verified_name")).await,
        json!({
            "verified_name": "Sandbox",
            "code_verification_status": "VERIFIED",
            "display_phone_number": "966550009999",
            "quality_rating": "GREEN",
            "platform_type": "CLOUD_API",
            "throughput": {"level": "STANDARD"},
            "id": SENDER,
        })
    );
    let error = stage.get("/v23.0/nobody").await;
    assert_eq!((&error["error"]["code"], &error["error"]["error_subcode"]), (&json!(100), &json!(33)));
    stage.stop().await;
}

#[tokio::test]
async fn faults_strike_whoever_is_addressed() {
    let stage = Stage::start(Settings { fault_percent: 100, ..Settings::default() }).await;
    assert_eq!(answer(&stage, &text_to("0001")).await, (500, 131_000));
    stage.stop().await;
}
