//! `Prefer: wait`: a caller built for a synchronous API is told the outcome, where it is known in time.

use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::process::Binary;
use crate::support::services::Services;
use crate::support::world::{Answer, Customer, World, answer};

/// What a caller gets whose message failed after its acceptance.
const FAILED: &str = r#"{"success":false,"error":"gateway_send_failed","message":"The message passed responsible messaging checks, but delivery could not be completed. Please try again or contact support.","details":[]}"#;

fn request(customer: &Customer, prefer: &str, body: &Value) -> reqwest::RequestBuilder {
    customer.request(body).header("prefer", prefer)
}

fn success(status: &str, answer: &Answer) -> String {
    let (message_id, log_id) = (&answer.body["message_id"], &answer.body["log_id"]);
    format!(r#"{{"success":true,"status":"{status}","message_id":{message_id},"log_id":{log_id}}}"#)
}

/// Delivered in time: 200 and `sent`. Refused by the provider in time: 502. Both say how long was waited at most, and
/// both are what a repeat with the same key gets.
pub async fn prefer_wait_tells_the_outcome(services: &Services) {
    let world = World::new(services).await;
    let _processes = world.start_all().await;
    let customer = world.customer().await;
    for (recipient, status) in [("+966500010001", 200), ("+966500010010", 502)] {
        let body = customer.message(recipient);
        let with_key = || request(&customer, "wait=20", &body).header("idempotency-key", recipient);
        let first = answer(with_key()).await;
        let expected = if status == 200 { success("sent", &first) } else { FAILED.to_owned() };
        assert_eq!((first.status, first.text.as_str()), (status, expected.as_str()));
        assert_eq!(first.header("preference-applied"), Some("wait=20"));
        assert_eq!(first.header("idempotent-replayed"), None);
        assert_eq!(first.header("content-type"), Some("application/json"));

        let without_wait = customer.request(&body).header("idempotency-key", recipient);
        for repeat in [with_key(), without_wait] {
            let again = answer(repeat).await;
            assert_eq!((again.status, again.text.as_str()), (status, expected.as_str()));
            assert_eq!(again.header("idempotent-replayed"), Some("true"));
        }
        assert_eq!(world.calls_to(recipient).await.len(), 1, "a repeat sends nothing");
    }
}

/// A one-time code is waited for as well, and many callers at once each get their own message's outcome.
pub async fn prefer_wait_tells_each_its_own(services: &Services) {
    let world = World::new(services).await;
    let _processes = world.start_all().await;
    let customer = world.customer().await;
    let mut asking = JoinSet::new();
    for n in 0..40 {
        // Every fourth is refused.
        let ending = if n % 4 == 0 { "0010" } else { "0001" };
        let body = customer.code(&format!("+966500{n:02}{ending}"));
        let request = request(&customer, "respond-async, wait=25", &body);
        asking.spawn(async move { (n % 4 == 0, answer(request).await) });
    }
    for (refused, answer) in asking.join_all().await {
        assert_eq!(answer.status, if refused { 502 } else { 200 }, "{}", answer.text);
        assert_eq!(answer.header("preference-applied"), Some("wait=25"));
        if !refused {
            let status = world.status(&answer.message_id()).await;
            assert!(["sent", "delivered", "read"].contains(&status.as_str()), "{status}");
        }
    }
}

/// Not known in time: the 202, after the time that was asked for, and that is what a repeat gets at once, even though
/// the message is delivered later.
pub async fn prefer_wait_ends_in_time(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let customer = world.customer().await;
    let body = customer.message("+966500010001");
    let begun = Instant::now();
    let with_key = || request(&customer, "wait=1", &body).header("idempotency-key", "k");
    let first = answer(with_key()).await;
    let waited = begun.elapsed();
    assert_eq!((first.status, first.text.as_str()), (202, success("queued", &first).as_str()));
    assert_eq!(first.header("preference-applied"), Some("wait=1"));
    assert!((1_000..8_000).contains(&waited.as_millis()), "{waited:?}");

    let _deliver = world.start(Binary::Deliver).await;
    world.wait_for_status(&first.message_id(), &["sent", "delivered", "read"]).await;
    let again = answer(with_key()).await;
    assert_eq!((again.status, again.text.as_str()), (202, first.text.as_str()));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
}

/// A preference that is none, or of nothing, is ignored, as RFC 7240 asks; a refusal does not wait, and does not say that
/// it did.
pub async fn prefer_wait_is_ignored_where_it_means_nothing(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let customer = world.customer().await;
    let begun = Instant::now();
    for (n, prefer) in
        ["wait", "wait=", "wait=0", "wait=-5", "wait=soon", "return=minimal", ""].iter().enumerate()
    {
        let body = customer.message(&format!("+96650001000{n}"));
        let accepted = answer(request(&customer, prefer, &body)).await;
        assert_eq!((accepted.status, accepted.header("preference-applied")), (202, None), "{prefer}");
    }
    let mut marketing = customer.message("+966500010001");
    marketing["message_purpose"] = Value::from("marketing");
    let refused = answer(request(&customer, "wait=25", &marketing)).await;
    assert_eq!((refused.status, refused.header("preference-applied")), (422, None));
    let instance = ["--account", &customer.account, "--id", "shop-main"];
    world.admin(&[&["instance", "set-connection"], &instance[..], &["close"]].concat()).await;
    crate::support::eventually("the closed connection is heeded", async || {
        let answer = customer.send(&customer.message("+966500010008")).await;
        (answer.status == 502).then_some(())
    })
    .await;
    let refused = answer(request(&customer, "wait=25", &customer.message("+966500010009"))).await;
    assert_eq!((refused.status, refused.text.as_str()), (502, FAILED));
    assert_eq!(refused.header("preference-applied"), None, "nothing was accepted, nothing waited for");
    assert!(begun.elapsed() < Duration::from_secs(20), "nobody waited: {:?}", begun.elapsed());
}
