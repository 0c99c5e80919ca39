//! The life of a message, from the customer's request to the customer's webhook.

use serde_json::{Value, json};

use crate::support::services::Services;
use crate::support::world::World;
use crate::support::{eventually, http};

/// An OTP and an invoice are accepted, delivered, read, and every rise is told with a signature that the published
/// library accepts.
pub async fn life_of_two_messages(services: &Services) {
    let world = World::new(services).await;
    let _processes = world.start_all().await;
    let customer = world.customer().await;
    let receiver = world.receiver(&customer).await;

    let code = customer.send(&customer.code("+966500010001")).await;
    assert_eq!(code.status, 202, "{}", code.text);
    let id = code.message_id();
    let log_id = code.body["log_id"].as_i64().expect("a number");
    let expected = format!(r#"{{"success":true,"status":"queued","message_id":"{id}","log_id":{log_id}}}"#);
    assert_eq!(code.text, expected);
    let invoice = customer.accepted("+966500020001").await;

    for message in [&id, &invoice] {
        world.wait_for_status(message, &["read"]).await;
        let expected: Vec<(i64, String)> = [(1, "sending"), (2, "sent"), (3, "delivered"), (4, "read")]
            .map(|(n, s)| (n, s.to_owned()))
            .into();
        eventually(&format!("every rise of {message} is told"), async || {
            (receiver.rises(message) == expected).then_some(())
        })
        .await;
    }
    eventually("delivered and read are told", async || {
        (receiver.events("message.delivered").len() == 2 && receiver.events("message.read").len() == 2)
            .then_some(())
    })
    .await;
    assert!(receiver.received().iter().all(|received| received.verified));

    let read = receiver.events("message.read").into_iter().find(|event| event["message_id"] == id.as_str());
    let read = read.expect("the code was read");
    assert_eq!(read["log_id"], log_id);
    assert_eq!(read["to"], "+966500010001");
    assert_eq!(read["instance_name"], "Main line");
    assert_eq!(read["request_id"], code.header("x-request-id").expect("every answer names its request"));
    assert_eq!(world.calls_to("+966500010001").await.len(), 1);
}

/// STOP suppresses in the seed's exact words, and the next send is refused; START lifts it.
pub async fn life_of_an_opt_out(services: &Services) {
    let world = World::new(services).await;
    let _processes = world.start_all().await;
    let customer = world.customer().await;
    let receiver = world.receiver(&customer).await;

    customer.accepted("+966500010050").await;
    let event =
        eventually("the opt-out is told", async || receiver.events("recipient.opted_out").pop()).await;
    let timestamp = event["timestamp"].as_str().expect("a text");
    assert!(timestamp.len() == 20 && timestamp.ends_with('Z'), "{timestamp}");
    let expected = format!(
        r#"{{"event":"recipient.opted_out","instance_id":"shop-main","instance_name":"Main line","from":"+966500010050","reason":"recipient_requested_stop","message_text":"STOP","timestamp":"{timestamp}"}}"#
    );
    assert!(receiver.received().iter().any(|received| received.raw == expected && received.verified));

    let refused = customer.send(&customer.message("+966500010050")).await;
    assert_eq!((refused.status, refused.error()), (403, "recipient_suppressed"));
    let refused = customer.send(&customer.code("+966500010050")).await;
    assert_eq!((refused.status, refused.error()), (403, "recipient_suppressed"));

    let inbound =
        json!({"from": "966500010050", "text": "start", "phone_number_id": customer.phone_number_id});
    let sandbox = world.sandbox_url.trim_end_matches("/v23.0");
    let posted = http().post(format!("{sandbox}/sandbox/inbound")).json(&inbound).send().await;
    assert!(posted.expect("the sandbox answers").status().is_success());
    eventually("the opt-in is told", async || receiver.events("recipient.opted_in").pop()).await;
    let accepted = customer.send(&customer.message("+966500010050")).await;
    assert_eq!(accepted.status, 202, "{}", accepted.text);
}

/// Marketing is refused, by name or by any other name.
pub async fn life_has_no_marketing(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(crate::support::process::Binary::Gateway).await;
    let customer = world.customer().await;
    for purpose in ["marketing", "promotion", "cold_outreach", "bulk_campaign", "political", "newsletter"] {
        let mut body = customer.message("+966500010001");
        body["message_purpose"] = Value::from(purpose);
        let refused = customer.send(&body).await;
        assert_eq!((refused.status, refused.error()), (422, "message_purpose_not_allowed"), "{purpose}");
    }
    let logged = world
        .database()
        .await
        .query_one("select count(*) from policy_log where error_code = 'message_purpose_not_allowed'", &[])
        .await
        .expect("the log can be read");
    assert_eq!(logged.get::<_, i64>(0), 6);
}
