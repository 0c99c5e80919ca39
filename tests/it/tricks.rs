//! What attackers write into fields, headers and request lines: it is data, or it is refused, and means nothing else.

use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::support::desk::Desk;
use crate::support::meta;
use crate::support::process::{Binary, Process};
use crate::support::provider::{Provider, Reply};
use crate::support::rows::{count, wait_for_count};
use crate::support::services::Services;
use crate::support::wire::Wire;
use crate::support::world::{Answer, Customer, World, answer};

/// Texts that mean something to Postgres, to shells, to logs or to terminals.
const TEXTS: [&str; 12] = [
    "'; drop table messages; --",
    "\" or 1=1 --",
    "$1 $2 :x %s %n {0} ${jndi:ldap://x}",
    "a' || pg_sleep(10) || 'b",
    "E'\\x00' \\' \\\\ \\u0000",
    "{\"a\":1},(1,2),ARRAY[null]",
    "NULL",
    "line\r\nfeed\ttab\u{8}\u{1b}[31mred\u{7f}",
    "\u{202e}rtl\u{2066}\u{feff}\u{fffe}\u{10ffff}",
    "%27%3b%00..%2f..%2f",
    "\u{1}\u{2}\u{1f}",
    "\\",
];

/// A customer, and the gateway that is tricked.
pub struct Scene {
    pub world: World,
    gateway: Process,
    pub customer: Customer,
    database: Client,
}

impl Scene {
    pub async fn new(services: &Services) -> Self {
        let mut world = World::new(services).await;
        world.set("GATEPOST_BODY_TIMEOUT_MS", 1_000);
        world.set("GATEPOST_WRONG_KEYS_PER_MINUTE", 10_000);
        let gateway = world.start(Binary::Gateway).await;
        let (customer, database) = (world.customer().await, world.database().await);
        Self { world, gateway, customer, database }
    }

    pub async fn exchange(&self, bytes: impl AsRef<[u8]>) -> Option<Answer> {
        Wire::connect(&self.world.gateway_url()).await.exchange(bytes.as_ref()).await
    }

    pub async fn count(&self, sql: &str) -> i64 {
        count(&self.database, sql).await
    }

    /// The gateway still serves, nothing in it panicked, and the database refused it nothing.
    pub async fn still_well(&self) {
        self.customer.accepted("+966500090009").await;
        assert_eq!(self.gateway.ready().await.map(|(status, _)| status), Some(200));
        let log = self.gateway.log();
        for bad in ["panicked", "ERROR", "could not be applied", "\u{1b}[31m"] {
            assert!(!log.contains(bad), "{bad}: {log}");
        }
    }
}

/// Every text in every member and header that is stored or looked up: what is accepted is stored to the letter, what is not
/// gets a refusal of the catalogue; nothing fails inside, and no table is gone.
pub async fn tricks_in_fields_are_data(services: &Services) {
    let scene = Scene::new(services).await;
    for (n, text) in TEXTS.into_iter().enumerate() {
        let phone = format!("+9665000300{n:02}");
        let mut body = scene.customer.message(&phone);
        body["message"] = format!("Your invoice {n}: {text}").into();
        let sent = scene.customer.send(&body).await;
        assert!(sent.status == 202 || sent.error() == "policy_violation", "{text:?}: {}", sent.text);
        if sent.status == 202 {
            let sql = "select body from message_texts where message_id = $1::text::uuid";
            let row = scene.database.query_one(sql, &[&sent.message_id()]).await.expect("it is stored");
            assert_eq!(row.get::<_, &str>(0), format!("Your invoice {n}: {text}").trim(), "{text:?}");
        }
        for (member, value, status, error) in [
            ("instance_id", json!(text), 404, "invalid_instance"),
            ("phone", json!(text), 422, "validation_error"),
            ("phone", json!(format!("{phone}{text}")), 422, "validation_error"),
            ("message_purpose", json!(text), 422, "message_purpose_not_allowed"),
            ("template", json!({"name": text, "language": "en"}), 422, "validation_error"),
            ("template", json!({"name": "a", "language": text}), 422, "validation_error"),
            ("validity_seconds", json!(text), 422, "validation_error"),
        ] {
            if text == "NULL" && member == "template" {
                // A name like any other.
                continue;
            }
            let mut body = scene.customer.message(&phone);
            body[member] = value;
            let answer = scene.customer.send(&body).await;
            assert_eq!(
                (answer.status, answer.error()),
                (status, error),
                "{member} {text:?}: {}",
                answer.text
            );
            assert!(
                text == "NULL" || text == "\\" || !answer.text.contains(text),
                "nothing is echoed: {}",
                answer.text
            );
        }
        let mut named = scene.customer.message(&phone);
        named[text] = json!({ text: [text] });
        named["message"] = format!("Your parcel {n} is here.").into();
        assert_eq!(scene.customer.send(&named).await.status, 202, "a member of that name: {text:?}");
    }
    scene.still_well().await;
}

/// The same in headers, of which those that are no header at all cannot even be written.
pub async fn tricks_in_headers_are_data(services: &Services) {
    let scene = Scene::new(services).await;
    for (n, text) in TEXTS.into_iter().enumerate() {
        let body = scene.customer.message(&format!("+9665000400{n:02}"));
        let Ok(value) = reqwest::header::HeaderValue::from_bytes(text.as_bytes()) else { continue };
        let visible = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        let request = || scene.customer.http.post(format!("{}/api/send-message", scene.world.gateway_url()));
        let keyed = answer(scene.customer.request(&body).header("idempotency-key", value.clone())).await;
        let expected = if visible { (202, "") } else { (422, "validation_error") };
        assert_eq!((keyed.status, keyed.error()), expected, "{text:?}: {}", keyed.text);
        if visible {
            let sql = "select count(*) from idempotency_keys where key = $1";
            let kept: i64 = scene.database.query_one(sql, &[&text.trim()]).await.expect("it answers").get(0);
            assert_eq!(kept, 1, "{text:?}");
            let again = answer(scene.customer.request(&body).header("idempotency-key", value.clone())).await;
            assert_eq!(again.text, keyed.text, "{text:?}");
        }
        let ignored = scene.customer.request(&body).header("prefer", value.clone());
        let ignored = ignored.header("x-request-id", value.clone()).header("x-forwarded-for", value.clone());
        let ignored = answer(ignored).await;
        assert_eq!(ignored.status, 202, "{text:?}: {}", ignored.text);
        assert_eq!(ignored.header("x-request-id").map(str::len), Some(32), "ours, not theirs");
        for authorization in
            [text.to_owned(), format!("Bearer {text}"), format!("Bearer gp_live_{text:x<43}")]
        {
            let Ok(authorization) = reqwest::header::HeaderValue::from_bytes(authorization.as_bytes()) else {
                continue;
            };
            let refused = answer(request().json(&body).header("authorization", authorization)).await;
            assert_eq!((refused.status, refused.error()), (401, "invalid_api_key"), "{text:?}");
        }
        let typed =
            answer(request().bearer_auth(&scene.customer.key).header("content-type", value).body("{}")).await;
        assert_eq!(typed.error(), "unsupported_media_type", "{text:?}");
    }
    scene.still_well().await;
}

/// And what the providers' side is sent: as ids, words, numbers and tokens.
pub async fn tricks_in_callbacks_are_data(services: &Services) {
    let scene = Scene::new(services).await;
    let desk = Desk::open(&scene.database).await;
    for (n, text) in TEXTS.into_iter().enumerate() {
        let from = format!("9665000500{n:02}");
        meta::post(
            &scene.world.gateway_url(),
            &meta::text(&scene.customer, &from, &format!("{n}{text}"), text),
        )
        .await;
        let stop = meta::text(&scene.customer, &from, &format!("stop {n} {text}"), "STOP");
        meta::post(&scene.world.gateway_url(), &stop).await;
        meta::post(&scene.world.gateway_url(), &meta::status(&scene.customer, text, "read", Some(text)))
            .await;
        meta::post(&scene.world.gateway_url(), &meta::status(&scene.customer, text, text, None)).await;
        let mut elsewhere = meta::text(&scene.customer, text, text, text);
        let metadata = &mut elsewhere["entry"][0]["changes"][0]["value"]["metadata"];
        metadata["phone_number_id"] = Value::from(text);
        meta::post(&scene.world.gateway_url(), &elsewhere).await;
        let key = json!({"remoteJid": format!("{text}@s.whatsapp.net"), "fromMe": false, "id": text});
        let upsert = json!({"event": "messages.upsert", "instance": text,
            "data": {"key": key, "message": {"conversation": text}, "pushName": text}});
        desk.post(&scene.world, &upsert).await;
        let token: String = format!("{text:x<30}");
        let mut url = reqwest::Url::parse(&scene.world.gateway_url()).expect("a URL");
        url.path_segments_mut().expect("it has a path").extend(["callbacks", "evolution", &token]);
        let refused = answer(scene.customer.http.post(url).body("{}")).await;
        assert_eq!((refused.status, refused.error()), (401, "invalid_callback_token"), "{text:?}");
    }
    // A report of a message that nobody knows waits for it; everything else has its effect.
    let stopped = "select count(*) from suppressions where source = 'inbound'";
    wait_for_count(&scene.database, stopped, i64::try_from(TEXTS.len()).expect("few")).await;
    let stuck = "select count(*) from callbacks where due_at is not null and provider <> 'meta'";
    wait_for_count(&scene.database, stuck, 0).await;
    scene.still_well().await;
}

/// And what a provider answers: an id that no index can hold, or that no text can, is none; what other tenants' providers
/// answer in the same moment is recorded as ever.
pub async fn tricks_in_answers_are_data(services: &Services) {
    let scene = Scene::new(services).await;
    let deliver = scene.world.start(Binary::Deliver).await;
    let (hostile, provider) = (Provider::start().await, Provider::start().await);
    let theirs = hostile.instance(&scene.world, &scene.customer, "hostile").await;
    let other = scene.world.customer().await;
    let ours = provider.instance(&scene.world, &other, "honest").await;
    // Of what cannot be compressed, which is how it would fit.
    let long = || (0..900).map(|_| format!("{:016x}", rand::random::<u64>())).collect::<String>();
    let ids = [long(), "a\0b".to_owned(), "w".repeat(50_000), TEXTS[0].to_owned(), long()];
    let mut sent = Vec::new();
    for (n, id) in ids.iter().enumerate() {
        let phone = format!("+96650008000{n}");
        let reply = json!({"messages": [{"id": id}], "contacts": [{"wa_id": TEXTS[n]}]});
        hostile.plan(&phone, Reply::say(200, reply));
        let message = (theirs.accepted(&phone).await, ours.accepted(&phone).await);
        sent.push((message, id == TEXTS[0]));
    }
    for ((hostile, honest), has_id) in sent {
        scene.world.wait_for_status(&honest, &["sent"]).await;
        scene.world.wait_for_status(&hostile, &[if has_id { "sent" } else { "unknown" }]).await;
    }
    let error = json!({"error": {"message": long().repeat(3), "type": "a\0b", "code": 131_009,
        "error_data": {"details": format!("a\0b{}", long())}}});
    hostile.plan("+966500080009", Reply::say(400, error));
    let failed = theirs.accepted("+966500080009").await;
    scene.world.wait_for_status(&failed, &["failed"]).await;
    assert!(!deliver.log().contains("panicked"), "{}", deliver.log());
    scene.still_well().await;
}
