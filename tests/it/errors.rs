//! Every answer that is not a success: as the catalogue has it, byte for byte, and in its order where several apply.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::support::process::Binary;
use crate::support::proxy::Proxy;
use crate::support::services::Services;
use crate::support::world::{Answer, Customer, World, answer};
use crate::support::{eventually, http};

/// An entry of the catalogue; `details` as they are written there.
#[derive(Deserialize)]
struct Entry {
    error: String,
    status: u16,
    message: String,
    details: Box<RawValue>,
}

fn catalogue() -> Vec<Entry> {
    serde_json::from_str(include_str!("../fixtures/errors.json")).expect("a list of entries")
}

/// The answers so far, each compared with its entry.
#[derive(Default)]
struct Driven {
    errors: Vec<String>,
    request_ids: BTreeSet<String>,
}

impl Driven {
    /// Compares an answer with the catalogue's entry, in which `real` replaces what is only an example there.
    fn check(&mut self, answer: &Answer, error: &str, real: (&str, &str)) {
        let catalogue = catalogue();
        let entry = catalogue.iter().find(|entry| entry.error == error).expect("the catalogue has it");
        assert!(entry.details.get().contains(real.0), "{error} has {real:?}");
        let details = entry.details.get().replacen(real.0, real.1, 1);
        let message = Value::from(entry.message.as_str());
        let body =
            format!(r#"{{"success":false,"error":"{error}","message":{message},"details":{details}}}"#);
        assert_eq!((answer.status, answer.text.as_str()), (entry.status, body.as_str()));
        self.headers(answer);
        self.errors.push(error.to_owned());
    }

    /// Every answer is JSON and names its request with a name of its own.
    fn headers(&mut self, answer: &Answer) {
        assert_eq!(answer.header("content-type"), Some("application/json"), "{}", answer.text);
        let id = answer.header("x-request-id").unwrap_or_else(|| panic!("a request id: {}", answer.text));
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        assert!(self.request_ids.insert(id.to_owned()), "{id} came twice");
    }
}

/// As it stands in the catalogue.
const AS_IT_IS: (&str, &str) = ("", "");

fn retry_after(answer: &Answer) -> Option<u32> {
    answer.header("retry-after").map(|seconds| seconds.parse().expect("seconds"))
}

/// Sends until the answer has this error: a change needs a moment to be heeded.
async fn refused(customer: &Customer, body: &Value, error: &str) -> Answer {
    eventually(&format!("{error} is answered"), async || {
        let answer = customer.send(body).await;
        (answer.error() == error).then_some(answer)
    })
    .await
}

/// Each code that exists is driven over HTTP and compared with the catalogue: status, texts, order of members, real
/// numbers in place of the examples, `Retry-After` where a time is known.
pub async fn errors_are_the_catalogues(services: &Services) {
    let mut world = World::new(services).await;
    let mut proxy = proxy_to_the_database(&mut world).await;
    let _gateway = world.start(Binary::Gateway).await;
    let customer = world.customer().await;
    let mut driven = Driven::default();
    of_the_request(&world, &customer, &mut driven).await;
    of_the_account(&world, &customer, &mut driven).await;
    of_the_recipient_and_the_instance(&world, &customer, &mut driven).await;

    let accepted = customer.send(&customer.message("+966500090001")).await;
    assert_eq!(accepted.status, 202, "{}", accepted.text);
    driven.headers(&accepted);
    proxy.cut().await;
    let answer = customer.send(&customer.message("+966500090002")).await;
    driven.check(&answer, "internal_error", AS_IT_IS);
    assert_eq!(retry_after(&answer), Some(5));

    let catalogue = catalogue();
    let mut missing: Vec<&str> = catalogue.iter().map(|entry| entry.error.as_str()).collect();
    missing.retain(|error| !driven.errors.iter().any(|driven| driven == error));
    assert_eq!(missing, Vec::<&str>::new());
}

async fn proxy_to_the_database(world: &mut World) -> Proxy {
    let (before, database) = world.database_url.rsplit_once('/').expect("an address with a database");
    let (user, server) = before.rsplit_once('@').expect("an address with a user");
    let server: SocketAddr =
        server.replace("localhost", "127.0.0.1").parse().expect("an address with a port");
    let proxy = Proxy::start(server).await;
    let url = format!("{user}@{}/{database}", proxy.address());
    world.set("DATABASE_URL", url);
    proxy
}

async fn of_the_request(world: &World, customer: &Customer, driven: &mut Driven) {
    let body = customer.message("+966500010001");
    let url = format!("{}/api/send-message", customer.gateway_url);
    let plain = customer.http.post(&url).bearer_auth(&customer.key).header("content-type", "text/plain");
    let plain = plain.body(body.to_string());
    driven.check(&answer(plain).await, "unsupported_media_type", AS_IT_IS);
    let unknown = Customer { key: "gp_live_nobodys".to_owned(), ..customer.clone() };
    driven.check(&unknown.send(&body).await, "invalid_api_key", AS_IT_IS);
    let keyless = customer.http.post(&url).json(&body);
    driven.check(&answer(keyless).await, "invalid_api_key", AS_IT_IS);
    let revoked = revoked_key(world, customer).await;
    driven.check(&revoked.send(&body).await, "revoked_api_key", AS_IT_IS);
    let broken = customer.request(&body).body("{\"instance_id\":");
    driven.check(&answer(broken).await, "invalid_json", AS_IT_IS);
    let empty = serde_json::json!({});
    driven.check(&customer.send(&empty).await, "validation_error", AS_IT_IS);
    let mut phoneless = body.clone();
    phoneless["phone"] = Value::from("12");
    let fields = (r#"["instance_id","phone","message"]"#, r#"["phone"]"#);
    driven.check(&customer.send(&phoneless).await, "validation_error", fields);
}

/// The customer with a key that was revoked.
async fn revoked_key(world: &World, customer: &Customer) -> Customer {
    let made = world.admin(&["api-key", "create", "--account", &customer.account]).await;
    let (id, key) = (made["id"].as_str().expect("a text"), made["secret"].as_str().expect("a text"));
    world.admin(&["api-key", "revoke", "--account", &customer.account, "--id", id]).await;
    Customer { key: key.to_owned(), ..customer.clone() }
}

async fn of_the_account(world: &World, customer: &Customer, driven: &mut Driven) {
    let account = customer.account.as_str();
    let body = customer.message("+966500010002");
    world.admin(&["account", "set-api-access", account, "off"]).await;
    driven.check(&refused(customer, &body, "module_not_enabled").await, "module_not_enabled", AS_IT_IS);
    world.admin(&["account", "set-api-access", account, "on"]).await;
    world.admin(&["account", "set-plan", account, "--plan", "none"]).await;
    driven.check(&refused(customer, &body, "active_plan_required").await, "active_plan_required", AS_IT_IS);
    world.admin(&["account", "set-plan", account, "--plan", "scale"]).await;

    let mut stranger = body.clone();
    stranger["instance_id"] = Value::from("somebody-elses");
    driven.check(&refused(customer, &stranger, "invalid_instance").await, "invalid_instance", AS_IT_IS);
    let mut purposeless = body.clone();
    purposeless.as_object_mut().expect("an object").remove("message_purpose");
    driven.check(&customer.send(&purposeless).await, "message_purpose_required", AS_IT_IS);
    let mut marketing = body.clone();
    marketing["message_purpose"] = Value::from("marketing");
    driven.check(&customer.send(&marketing).await, "message_purpose_not_allowed", AS_IT_IS);

    for last in ['3', '4', '5'] {
        let accepted = customer.send(&customer.message(&format!("+96650001000{last}"))).await;
        assert_eq!(accepted.status, 202, "{}", accepted.text);
        driven.headers(&accepted);
    }
    world.admin(&["account", "set-limits", account, "--daily", "3", "--monthly", "2"]).await;
    let answer = refused(customer, &body, "daily_message_limit_exceeded").await;
    // One may have been accepted before the new limit was heeded.
    let used = used_today(world, account).await;
    let real = format!(r#""limit":3,"used":{used}"#);
    driven.check(&answer, "daily_message_limit_exceeded", (r#""limit":100,"used":100"#, &real));
    assert!((1..=86_400).contains(&retry_after(&answer).expect("until midnight")));
    world.admin(&["account", "set-limits", account, "--daily", "1000"]).await;
    let answer = refused(customer, &body, "monthly_message_limit_exceeded").await;
    let real = format!(r#""limit":2,"used":{used}"#);
    driven.check(&answer, "monthly_message_limit_exceeded", (r#""limit":2000,"used":2000"#, &real));
    assert!((1..=31 * 86_400).contains(&retry_after(&answer).expect("until the next month")));
    world.admin(&["account", "set-limits", account, "--clear"]).await;
}

async fn used_today(world: &World, account: &str) -> i32 {
    let sql = "select used from quota_usage where period = 'day' and account_id = $1::text::int8";
    world.database().await.query_one(sql, &[&account]).await.expect("the account has a counter").get(0)
}

async fn of_the_recipient_and_the_instance(world: &World, customer: &Customer, driven: &mut Driven) {
    let account = customer.account.as_str();
    world.admin(&["suppression", "add", "--account", account, "--phone", "+966500010002"]).await;
    let stopped = customer.message("+966500010002");
    driven.check(
        &refused(customer, &stopped, "recipient_suppressed").await,
        "recipient_suppressed",
        AS_IT_IS,
    );

    let body = customer.message("+966500010006");
    let backlog = "update pacing set next_at = now() + interval '400 seconds' where account_id = $1";
    let database = world.database().await;
    database.execute(backlog, &[&customer.account_id]).await.expect("the schedule can be set");
    let answer = customer.send(&body).await;
    driven.check(&answer, "sending_throttled", AS_IT_IS);
    // Five minutes of backlog are accepted; the rest must pass first.
    let wait = retry_after(&answer).expect("a time is known");
    assert!((70..=100).contains(&wait), "{wait}");
    let gone = "update pacing set next_at = now() where account_id = $1";
    database.execute(gone, &[&customer.account_id]).await.expect("the schedule can be set");

    let instance = ["--account", account, "--id", "shop-main"];
    world.admin(&[&["instance", "pause"], &instance[..]].concat()).await;
    let answer = refused(customer, &body, "instance_paused_for_review").await;
    driven.check(&answer, "instance_paused_for_review", AS_IT_IS);
    assert_eq!(retry_after(&answer), None, "nobody knows how long a review takes");
    world.admin(&[&["instance", "resume"], &instance[..], &["--note", "looked into"]].concat()).await;
    let mut advertisement = body.clone();
    advertisement["message"] =
        "MEGA SALE! Up to 70% off everything this weekend only. Shop now and save: https://bit.ly/x1".into();
    let answer = refused(customer, &advertisement, "policy_violation").await;
    driven.check(&answer, "policy_violation", AS_IT_IS);
    assert_eq!(retry_after(&answer), None, "the same text is never sent");
    world.admin(&[&["instance", "set-connection"], &instance[..], &["close"]].concat()).await;
    let answer = refused(customer, &body, "gateway_send_failed").await;
    driven.check(&answer, "gateway_send_failed", AS_IT_IS);
    world.admin(&[&["instance", "set-connection"], &instance[..], &["open"]].concat()).await;
    eventually("it is open again", async || (customer.send(&body).await.status == 202).then_some(())).await;
}

/// A path or a method that does not exist is answered in the same shape and with the same headers.
pub async fn errors_outside_the_catalogue_have_its_shape(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let http = http();
    let url = |path: &str| format!("{}{path}", world.gateway_url());
    let mut driven = Driven::default();
    for path in [
        "/",
        "/api",
        "/api/send-messages",
        "/api/send-message/",
        "/api//send-message",
        "/%00",
        "/..%2f",
        "/\u{202e}",
    ] {
        let answer = answer(http.post(url(path)).json(&Value::Null)).await;
        let expected = r#"{"success":false,"error":"not_found","message":"There is nothing at this path.","details":[]}"#;
        assert_eq!((answer.status, answer.text.as_str()), (404, expected), "{path}");
        driven.headers(&answer);
    }
    for method in ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
        let method: reqwest::Method = method.parse().expect("a method");
        let answer = answer(http.request(method.clone(), url("/api/send-message"))).await;
        let expected = r#"{"success":false,"error":"method_not_allowed","message":"This path does not support the request method.","details":[]}"#;
        assert_eq!((answer.status, answer.text.as_str()), (405, expected), "{method}");
        assert_eq!(answer.header("allow"), Some("POST"), "{method}");
        driven.headers(&answer);
    }
}
