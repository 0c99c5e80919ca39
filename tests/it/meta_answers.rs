//! What Meta is asked to send, and every sample of its answers at work: the message, its sender and the webhooks.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::codes::{Case, Row, rows};
use crate::support::evolution::{Evolution, KEY};
use crate::support::provider::{Provider, Reply};
use crate::support::rows::{life, provider_id};
use crate::support::services::Services;
use crate::support::world::World;

/// The samples of answers by their names.
fn answers() -> BTreeMap<String, Value> {
    serde_json::from_str(include_str!("../fixtures/meta/answers.json")).expect("an object")
}

fn reply(answer: &Value) -> Reply {
    let headers = answer["headers"].as_object().into_iter().flatten();
    let headers = headers.map(|(name, value)| (name.clone(), value.as_str().expect("a text").to_owned()));
    let status = u16::try_from(answer["http"].as_u64().expect("a status")).expect("a status");
    Reply::Say(status, headers.collect(), answer["body"].clone())
}

/// The line of the codes' table for an error; with the usage header its wait is the header's, five minutes.
fn row_of(name: &str, answer: &Value) -> Option<Row> {
    let error = answer["body"]["error"].as_object()?;
    let matches = |row: &&Row| {
        Some(i64::from(row.code)) == error["code"].as_i64()
            && row.subcode.map(i64::from) == error.get("error_subcode").and_then(Value::as_i64)
            && error["type"] == row.kind.as_str()
    };
    let mut row = rows().iter().find(matches).cloned().unwrap_or_else(|| panic!("{name} is in the table"));
    if answer["headers"].is_object() {
        row.wait = Some(300.0);
    }
    row.line = name.to_owned();
    Some(row)
}

/// Each sample of a refusal, answered to a send, has the effects of its code's class; each sample of an acceptance makes the
/// message `sent`, under the id in it.
pub async fn every_answer_has_its_effect(services: &Services) {
    let world = World::new(services).await;
    let _processes = world.start_all().await;
    let (provider, database) = (Provider::start().await, world.database().await);
    let admin = world.admin_inside().await;
    provider.hold(true);
    let samples: Vec<(String, Value)> = answers().into_iter().collect();
    // What concerns an account or the app is answered to accounts of their own, one after the other.
    let is_wide = |(name, answer): &(String, Value)| {
        row_of(name, answer).is_some_and(|row| matches!(row.scope.as_str(), "account" | "app"))
    };
    let (wide, own): (Vec<_>, Vec<_>) = samples.into_iter().partition(is_wide);
    let customer = world.customer().await;
    let receiver = world.receiver(&customer).await;
    let (refused, accepted): (Vec<_>, Vec<_>) =
        own.into_iter().partition(|(name, answer)| row_of(name, answer).is_some());
    let mut cases = Vec::new();
    for (some, samples) in refused.chunks(3).enumerate() {
        cases.extend(
            join_all(samples.iter().enumerate().map(async |(n, (name, answer))| {
                let n = some * 3 + n;
                let sender = provider.instance_by(&admin, &customer, &format!("line-{n}")).await;
                let row = row_of(name, answer).expect("a refusal");
                Case::send_to(&provider, sender, (row, reply(answer)), n).await
            }))
            .await,
        );
    }
    for case in &cases {
        case.check(&database).await;
        case.is_told(&receiver).await;
    }
    for (n, (name, answer)) in accepted.iter().enumerate() {
        let phone = format!("+9665000300{n:02}");
        let sender = provider.instance_by(&admin, &customer, &format!("taken-{n}")).await;
        provider.plan(&phone, reply(answer));
        let message = sender.accepted(&phone).await;
        world.wait_for_status(&message, &["sent"]).await;
        assert_eq!(life(&database, &message).await, "queued sending sent", "{name}");
        let id = answer["body"]["messages"][0]["id"].as_str().expect("an id");
        assert_eq!(provider_id(&database, &message).await, id, "{name}");
    }
    for (n, (name, answer)) in wide.iter().enumerate() {
        let customer = world.customer().await;
        let sender = provider.instance_by(&admin, &customer, "one").await;
        let row = row_of(name, answer).expect("a refusal");
        Case::send_to(&provider, sender, (row, reply(answer)), 9000 + n).await.check(&database).await;
    }
}

/// Meta is asked with the whole number behind a plus, for the number's own id, with a mark that names account, message and
/// call, and never for a person by another id.
pub async fn every_send_says_whose_it_is(services: &Services) {
    let world = World::new(services).await;
    let _processes = world.start_all().await;
    let provider = Provider::start().await;
    let customer = provider.meta_instance(&world, &world.customer().await, "meta-line").await;
    provider.plan("+966500030001", Reply::error(500, 131_016));
    for phone in ["+966500030001", "966500030002", "+966 50-003-0003"] {
        let mut body = customer.message("+966500030001");
        body["phone"] = phone.into();
        body["message"] = format!("Your parcel {} is here.", &phone[phone.len() - 1..]).into();
        let message = customer.send(&body).await.message_id();
        world.wait_for_status(&message, &["sent"]).await;
        let to = format!("+96650003000{}", &phone[phone.len() - 1..]);
        let calls = provider.calls_to(&to);
        assert_eq!(calls.len(), if to.ends_with('1') { 2 } else { 1 }, "{to}");
        for (n, call) in (1..).zip(&calls) {
            let mark = format!("{}/{message}:{n}", customer.account);
            let expected = json!({"messaging_product": "whatsapp", "recipient_type": "individual", "to": to,
                "type": "text", "text": {"preview_url": false, "body": body["message"]},
                "biz_opaque_callback_data": mark});
            assert_eq!(*call, expected);
        }
    }
    assert!(provider.senders().iter().all(|sender| *sender == customer.phone_number_id));
}

/// An operator may ask Meta about a number: what it says is shown, and why it says nothing.
pub async fn a_number_can_be_checked(services: &Services) {
    let mut world = World::new(services).await;
    let provider = Provider::start().await;
    let customer = provider.meta_instance(&world, &world.customer().await, "meta-line").await;
    let sample = include_str!("../fixtures/meta/phone_number_get_response.json");
    provider.show_number(200, serde_json::from_str(sample).expect("the fixture is JSON"));
    let check = |id| ["instance", "check", "--account", &customer.account, "--id", id];
    let shown = world.admin(&check("meta-line")).await;
    let expected = json!({"id": "meta-line", "display_phone_number": "966551112222", "verified_name": "Sample Shop",
        "quality_rating": "GREEN", "throughput": "STANDARD"});
    assert_eq!(shown, expected);
    let text = world.admin_text(&check("meta-line")).await;
    assert!(text.contains("the number 966551112222 of Sample Shop; quality GREEN"), "{text}");
    assert_eq!(world.admin(&check("shop-main")).await["verified_name"], "Sandbox");

    let expired =
        json!({"error": {"message": "Expired", "type": "OAuthException", "code": 190, "error_subcode": 463}});
    provider.show_number(401, expired);
    let said = world.admin_fails(1, &check("meta-line")).await;
    assert_eq!(said, "meta refuses: meta 190/463: access token expired or invalid");
    provider.show_number(502, json!("?"));
    assert_eq!(world.admin_fails(1, &check("meta-line")).await, "meta refuses: HTTP 502");
    provider.show_number(200, json!("?"));
    assert_eq!(world.admin_fails(1, &check("meta-line")).await, "the answer is not meta's");
    assert!(world.admin_fails(1, &check("nobody")).await.contains("nobody"));
    world.set("EVOLUTION_KEY", KEY);
    let evolution = Evolution::start().await;
    evolution.instance(&world, &customer).await;
    assert_eq!(world.admin_refuses(&check("evo")).await, "check is for numbers of Meta's");
}
