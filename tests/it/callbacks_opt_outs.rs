//! People who want no more messages, or want them again, however they say it.

use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::support::eventually;
use crate::support::meta::{self, callback, text};
use crate::support::process::{Binary, Process};
use crate::support::receiver::Receiver;
use crate::support::rows::count;
use crate::support::services::Services;
use crate::support::world::{Customer, World};

const PERSON: &str = "+966500017001";

/// Customer, receiver and processes of a test that needs no delivery.
struct Scene {
    world: World,
    database: Client,
    customer: Customer,
    receiver: Receiver,
    _processes: [Process; 2],
}

impl Scene {
    async fn new(services: &Services) -> Self {
        let world = World::new(services).await;
        let processes = [world.start(Binary::Gateway).await, world.start(Binary::Notify).await];
        let (customer, database) = (world.customer().await, world.database().await);
        let receiver = world.receiver(&customer).await;
        Self { world, database, customer, receiver, _processes: processes }
    }

    /// The person writes that.
    async fn write(&self, id: &str, words: &str) {
        let body = text(&self.customer, PERSON.trim_start_matches('+'), id, words);
        self.world.report(&self.database, &body).await;
    }

    /// The person taps something.
    async fn tap(&self, from: &str, id: &str, tapped: Value) {
        let mut item = json!({"from": from, "id": id, "timestamp": "1769904100"});
        for (name, value) in tapped.as_object().expect("an object") {
            item[name] = value.clone();
        }
        self.world.report(&self.database, &callback(&self.customer, "messages", &json!([item]))).await;
    }

    /// The person changes, in WhatsApp's own settings, whether marketing is welcome.
    async fn prefer(&self, value: &str, at: i64) {
        let person = PERSON.trim_start_matches('+');
        let item =
            json!([{"wa_id": person, "category": "marketing_messages", "value": value, "timestamp": at}]);
        self.world.report(&self.database, &callback(&self.customer, "user_preferences", &item)).await;
    }

    /// How an ordinary message and a one-time code to that person are answered.
    async fn sends(&self, phone: &str) -> [String; 2] {
        let ordinary = self.customer.send(&self.customer.message(phone)).await;
        let code = self.customer.send(&self.customer.code(phone)).await;
        [ordinary, code].map(|answer| match answer.status {
            202 => "accepted".to_owned(),
            _ => answer.error().to_owned(),
        })
    }

    async fn events(&self) -> i64 {
        count(&self.database, "select count(*) from events where kind like 'recipient.%'").await
    }

    /// Waits until every event has been told, and gives what was told of that kind, byte for byte.
    async fn told(&self, kind: &str) -> Vec<String> {
        let events = usize::try_from(self.events().await).expect("few events");
        eventually("every event is told", async || (self.receiver.received().len() == events).then_some(()))
            .await;
        let received = self.receiver.received();
        assert!(received.iter().all(|received| received.verified));
        received.into_iter().filter(|one| one.body["event"] == kind).map(|one| one.raw).collect()
    }
}

/// The webhook to the letter, with the time it came with.
fn shape(kind: &str, from: &str, reason: &str, words: &str, told: &str) -> String {
    let body: Value = serde_json::from_str(told).expect("JSON");
    let timestamp = body["timestamp"].as_str().expect("a text");
    assert!(timestamp.len() == 20 && timestamp.ends_with('Z'), "{timestamp}");
    format!(
        r#"{{"event":"{kind}","instance_id":"shop-main","instance_name":"Main line","from":"{from}","reason":"{reason}","message_text":{words},"timestamp":"{timestamp}"}}"#
    )
}

const ALLOWED: [&str; 2] = ["accepted", "accepted"];
const SILENCED: [&str; 2] = ["recipient_suppressed", "recipient_suppressed"];

/// A recipient who answers a delivered message with the Arabic word is suppressed, and the customer is told in the exact
/// shape, with the word as it was written.
pub async fn an_arabic_stop_suppresses_in_the_exact_shape(services: &Services) {
    let scene = Scene::new(services).await;
    let _deliver = scene.world.start(Binary::Deliver).await;
    let phone = "+966500010051";
    scene.customer.accepted(phone).await;
    let told = eventually("the opt-out is told", async || {
        scene.receiver.received().into_iter().find(|one| one.body["event"] == "recipient.opted_out")
    })
    .await;
    assert!(told.verified);
    let expected = shape("recipient.opted_out", phone, "recipient_requested_stop", "\"إيقاف\"", &told.raw);
    assert_eq!(told.raw, expected);
    assert_eq!(scene.sends(phone).await, SILENCED);
    let row = "select count(*) from suppressions where recipient = '966500010051' and scope = 'all' and source = 'inbound'";
    assert_eq!(count(&scene.database, row).await, 1);
}

/// Tapping a button says it as well as writing it: a template's button, a reply button, and a list's row.
pub async fn a_button_says_it_too(services: &Services) {
    let scene = Scene::new(services).await;
    let button = json!({"type": "button", "button": {"payload": "unsubscribe_all", "text": "Unsubscribe"}});
    scene.tap("966500017002", "wamid.IN1==", button).await;
    let reply = json!({"type": "interactive", "interactive": {"type": "button_reply",
        "button_reply": {"id": "opt_out", "title": "Stop messages"}}});
    scene.tap("966500017003", "wamid.IN2==", reply).await;
    let row = json!({"type": "interactive", "interactive": {"type": "list_reply",
        "list_reply": {"id": "row-7", "title": "إلغاء الاشتراك", "description": "STOP"}}});
    scene.tap("+966 50 001 7004", "wamid.IN3==", row).await;
    let harmless = json!({"type": "interactive", "interactive": {"type": "list_reply",
        "list_reply": {"id": "evening", "title": "Evening", "description": "stop"}}});
    scene.tap("966500017005", "wamid.IN4==", harmless).await;

    let mut told = scene.told("recipient.opted_out").await;
    told.sort();
    assert_eq!(told.len(), 3);
    for (told, (phone, words)) in told.iter().zip([
        ("+966500017002", "\"Unsubscribe\""),
        ("+966500017003", "\"opt_out\""),
        ("+966500017004", "\"إلغاء الاشتراك\""),
    ]) {
        assert_eq!(*told, shape("recipient.opted_out", phone, "recipient_requested_stop", words, told));
        assert_eq!(scene.sends(phone).await, SILENCED);
    }
    assert_eq!(scene.sends("+966500017005").await, ALLOWED);
}

/// WhatsApp names people in Brazil and Mexico by another form of their number than the one they are sent to.
pub async fn whoever_is_named_by_an_old_form_is_the_same_person(services: &Services) {
    let scene = Scene::new(services).await;
    for (named, phone) in [("551187654321", "+55 11 98765-4321"), ("5215512345678", "+52 55 1234 5678")] {
        let says = async |id: &str, words: &str| {
            let body = text(&scene.customer, named, id, words);
            scene.world.report(&scene.database, &body).await;
        };
        says(&format!("wamid.{named}1=="), "STOP").await;
        assert_eq!(scene.sends(phone).await, SILENCED);
        says(&format!("wamid.{named}2=="), "START").await;
        assert_eq!(scene.sends(phone).await, ALLOWED);
    }
    let told = scene.told("recipient.opted_out").await;
    assert!(told[0].contains(r#""from":"+5511987654321""#), "{}", told[0]);
}

/// The same STOP again, and another STOP of somebody who is suppressed, tell nothing twice; and a STOP that Meta repeats
/// after the person wrote START does not silence them again.
pub async fn a_repeated_stop_says_nothing_new(services: &Services) {
    let scene = Scene::new(services).await;
    let person = PERSON.trim_start_matches('+');
    let stop = text(&scene.customer, person, "wamid.STOP1==", "Stop.");
    let mut repeated = stop.clone();
    repeated["entry"][0]["time"] = 1.into();
    for body in [&stop, &stop, &repeated, &text(&scene.customer, person, "wamid.STOP2==", "STOP")] {
        scene.world.report(&scene.database, body).await;
    }
    let told = scene.told("recipient.opted_out").await;
    let expected = |told: &[String]| {
        shape("recipient.opted_out", PERSON, "recipient_requested_stop", "\"Stop.\"", &told[0])
    };
    assert_eq!(told, [expected(&told)]);
    assert_eq!(scene.sends(PERSON).await, SILENCED);

    scene.write("wamid.START1==", "start").await;
    assert_eq!(scene.sends(PERSON).await, ALLOWED);
    repeated["entry"][0]["time"] = 2.into();
    scene.world.report(&scene.database, &repeated).await;
    scene.write("wamid.START2==", "start").await;
    assert_eq!(scene.sends(PERSON).await, ALLOWED);
    assert_eq!(scene.told("recipient.opted_out").await.len(), 1);
    let told = scene.told("recipient.opted_in").await;
    let expected = shape("recipient.opted_in", PERSON, "recipient_requested_start", "\"start\"", &told[0]);
    assert_eq!(told, [expected]);
}

/// The word inside a sentence is no wish, and neither is one in what the shop's own people write from their phone.
pub async fn stop_inside_a_sentence_does_nothing(services: &Services) {
    let scene = Scene::new(services).await;
    let sentences =
        ["Please stop by the shop tomorrow", "do not stop", "لا تتوقف عن الإرسال", "STOP 5", "nonstop", "🛑"];
    for (n, words) in sentences.into_iter().enumerate() {
        scene.write(&format!("wamid.IN{n}=="), words).await;
    }
    let echo = callback(
        &scene.customer,
        "message_echoes",
        &json!([{"from": "966551112222", "to": "966500017001", "id": "wamid.ECHO==", "type": "text",
            "text": {"body": "stop"}}]),
    );
    scene.world.report(&scene.database, &echo).await;
    assert_eq!(count(&scene.database, "select count(*) from inbound_messages").await, 6);
    assert_eq!(scene.events().await, 0);
    assert_eq!(scene.sends(PERSON).await, ALLOWED);
    assert!(scene.told("recipient.opted_out").await.is_empty());
}

/// "Stop" in WhatsApp's own settings silences what is not essential: invoices are refused, one-time codes pass. "Resume"
/// lifts it, and lifts nothing that the person said in words.
pub async fn a_preference_silences_what_is_not_essential(services: &Services) {
    let scene = Scene::new(services).await;
    scene.prefer("stop", 1_769_904_200).await;
    assert_eq!(scene.sends(PERSON).await, ["recipient_suppressed", "accepted"]);
    scene.prefer("stop", 1_769_904_201).await;
    let told = scene.told("recipient.opted_out").await;
    let expected = shape("recipient.opted_out", PERSON, "recipient_stopped_marketing", "null", &told[0]);
    assert_eq!(told, [expected]);

    scene.prefer("resume", 1_769_904_300).await;
    assert_eq!(scene.sends(PERSON).await, ALLOWED);
    let told = scene.told("recipient.opted_in").await;
    let expected = shape("recipient.opted_in", PERSON, "recipient_resumed_marketing", "null", &told[0]);
    assert_eq!(told, [expected]);

    scene.write("wamid.STOP==", "unsubscribe").await;
    scene.prefer("stop", 1_769_904_400).await;
    scene.prefer("resume", 1_769_904_500).await;
    assert_eq!(scene.sends(PERSON).await, SILENCED);
}

/// An opt-out is one customer's: another customer may still write to the same person, and an operator's own suppression
/// is not lifted by the person's START.
pub async fn an_opt_out_is_one_accounts_alone(services: &Services) {
    let scene = Scene::new(services).await;
    let other = scene.world.customer().await;
    scene.write("wamid.STOP==", "STOP").await;
    assert_eq!(scene.sends(PERSON).await, SILENCED);
    assert_eq!(other.send(&other.message(PERSON)).await.status, 202);

    let silenced = "+966500017002";
    let add = ["suppression", "add", "--account", &scene.customer.account, "--phone", silenced];
    scene.world.admin(&add).await;
    let start = text(&scene.customer, "966500017002", "wamid.START==", "START");
    meta::post(&scene.world.gateway_url(), &start).await;
    meta::all_applied(&scene.database).await;
    assert_eq!(scene.sends(silenced).await, SILENCED);
    assert!(scene.told("recipient.opted_in").await.is_empty());
}
