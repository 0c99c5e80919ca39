//! Opting out with an account's own words, being answered once, and being left alone from that commit on.

use gatepost::config::Hidden;
use gatepost::domain::opt_out::Wish;
use gatepost::runtime::clock::Clock;
use gatepost::store::{Pool, recipients};
use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::support::eventually;
use crate::support::meta::{all_applied, callback, post};
use crate::support::process::{Binary, Process};
use crate::support::provider::Provider;
use crate::support::receiver::Receiver;
use crate::support::rows::{count, life, wait_for_count};
use crate::support::services::Services;
use crate::support::world::{Customer, World};

const PERSON: &str = "+966500017001";
const ANSWER: &str = "You will get no more messages from us.";

/// The time, in unix seconds.
fn now() -> i64 {
    Clock::system().now().as_second()
}

/// Somebody writes that, now.
fn text(customer: &Customer, from: &str, id: &str, words: &str) -> Value {
    let item = json!({"from": from.trim_start_matches('+'), "id": id, "timestamp": now().to_string(),
        "type": "text", "text": {"body": words}});
    callback(customer, "messages", &json!([item]))
}

/// A customer whose instance confirms opt-outs.
struct Scene {
    world: World,
    database: Client,
    customer: Customer,
    receiver: Receiver,
    gateway: Option<Process>,
    provider: Provider,
}

impl Scene {
    async fn new(services: &Services) -> Self {
        let world = World::new(services).await;
        let gateway = world.start(Binary::Gateway).await;
        let (customer, database) = (world.customer().await, world.database().await);
        let receiver = world.receiver(&customer).await;
        let provider = Provider::start().await;
        let customer = provider.instance(&world, &customer, "confirming").await;
        let scene = Self { world, database, customer, receiver, gateway: Some(gateway), provider };
        scene.confirm(&["--opt-out", ANSWER]).await;
        scene
    }

    async fn confirm(&self, how: &[&str]) {
        let which =
            ["instance", "set-confirmation", "--account", &self.customer.account, "--id", "confirming"];
        self.world.admin(&[&which[..], how].concat()).await;
    }

    async fn write(&self, id: &str, words: &str) {
        self.world.report(&self.database, &text(&self.customer, PERSON, id, words)).await;
    }

    /// The confirmations there are, each with its status.
    async fn confirmations(&self) -> Vec<(String, String)> {
        let sql = "select message_id::text, status::text from messages where confirmation order by 1";
        let rows = self.database.query(sql, &[]).await.expect("messages can be read");
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    async fn start_delivery(&self) -> [Process; 3] {
        [
            self.world.start(Binary::Deliver).await,
            self.world.start(Binary::Sweep).await,
            self.world.start(Binary::Notify).await,
        ]
    }
}

async fn is_suppressed(customer: &Customer, phone: &str) -> bool {
    let answer = customer.send(&customer.message(phone)).await;
    assert!(answer.status == 202 || answer.error() == "recipient_suppressed", "{}", answer.text);
    answer.status != 202
}

/// A word of an account's own counts from the command on, in every gateway, however it is written, as the whole message, and
/// for that account alone; built-in words stay what they are.
pub async fn opt_out_words_are_the_accounts_own(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let (_second, second) = world.start_second_gateway().await;
    let database = world.database().await;
    let (ours, other) = (world.customer().await, world.customer().await);
    let words = async |what: &'static str, word: &'static str| {
        world.admin(&["opt-out-words", what, "--account", &ours.account, "--word", word]).await
    };
    let hear = async |gateway: &str, customer: &Customer, id: &str, said: &str| {
        post(gateway, &text(customer, PERSON, id, said)).await;
        all_applied(&database).await;
    };
    hear(&second, &ours, "wamid.1==", "Genug").await;
    assert!(!is_suppressed(&ours, PERSON).await, "no word yet");
    assert_eq!(words("add", "Genug!").await, json!({"id": "Genug!"}));
    let start = ["opt-out-words", "add", "--account", &ours.account, "--word", "weiter bitte", "--start"];
    world.admin(&start).await;
    hear(&second, &ours, "wamid.2==", "genug ist genug").await;
    hear(&second, &other, "wamid.3==", "GENUG").await;
    assert!(!is_suppressed(&ours, PERSON).await && !is_suppressed(&other, PERSON).await);
    hear(&second, &ours, "wamid.4==", " GENÜG.").await;
    assert!(is_suppressed(&ours, PERSON).await);
    hear(&world.gateway_url(), &ours, "wamid.5==", "Weiter, bitte").await;
    assert!(!is_suppressed(&ours, PERSON).await);

    let list = world.admin(&["opt-out-words", "list", "--account", &ours.account]).await;
    let listed: Vec<(&Value, &Value)> =
        list["items"].as_array().expect("a list").iter().map(|row| (&row["word"], &row["wish"])).collect();
    assert_eq!(listed, [(&json!("Genug!"), &json!("opt_out")), (&json!("weiter bitte"), &json!("opt_in"))]);
    words("remove", "genug").await;
    hear(&second, &ours, "wamid.6==", "genug").await;
    assert!(!is_suppressed(&ours, PERSON).await);

    for what in ["add", "remove"] {
        let arguments = ["opt-out-words", what, "--account", &ours.account, "--word", "Stop."];
        let refused = world.admin_fails(1, &arguments).await;
        assert!(refused.starts_with("`Stop.` is built in"), "{refused}");
    }
    let gone = ["opt-out-words", "remove", "--account", &ours.account, "--word", "genug"];
    assert!(world.admin_fails(1, &gone).await.contains("no word `genug`"));
    let sign = ["opt-out-words", "add", "--account", &ours.account, "--word", "!!"];
    assert!(world.admin_refuses(&sign).await.contains("a letter or a digit"));
    let nobody = ["opt-out-words", "add", "--account", "999999", "--word", "genug"];
    assert!(world.admin_fails(1, &nobody).await.contains("999999"));
    hear(&second, &ours, "wamid.7==", "stop").await;
    assert!(is_suppressed(&ours, PERSON).await);
}

/// An opt-out is answered once, however often it is said and told: by an ordinary message, told as others are, that uses up
/// no allowance and leaves although its recipient is suppressed. The next opt-out, after an opt-in, is answered again.
pub async fn opt_out_is_confirmed_once(services: &Services) {
    let scene = Scene::new(services).await;
    let _others = scene.start_delivery().await;
    let stop = text(&scene.customer, PERSON, "wamid.STOP1==", "Stop");
    let mut repeated = stop.clone();
    repeated["entry"][0]["time"] = 1.into();
    for body in [&stop, &stop, &repeated, &text(&scene.customer, PERSON, "wamid.STOP2==", "unsubscribe")] {
        scene.world.report(&scene.database, body).await;
    }
    let [(message, _)] = &scene.confirmations().await[..] else { panic!("there is one") };
    scene.world.wait_for_status(message, &["sent"]).await;
    let [call] = &scene.provider.calls()[..] else { panic!("it is sent once") };
    assert_eq!((&call["to"], &call["text"]["body"]), (&json!(PERSON), &json!(ANSWER)));
    assert!(is_suppressed(&scene.customer, PERSON).await);
    assert_eq!(count(&scene.database, "select coalesce(sum(used), 0) from quota_usage").await, 0);
    let told = eventually("it is told", async || {
        let told = scene.receiver.events("message.status_updated");
        told.into_iter().find(|event| event["status"] == "sent")
    })
    .await;
    assert_eq!(
        (&told["message_id"], &told["log_id"], &told["to"]),
        (&json!(message), &Value::Null, &json!(PERSON))
    );
    assert!(told["request_id"].as_str().is_some_and(|id| id.starts_with("confirmation-")), "{told}");

    scene.write("wamid.START==", "start").await;
    scene.write("wamid.STOP3==", "stop").await;
    wait_for_count(
        &scene.database,
        "select count(*) from messages where confirmation and status = 'sent'",
        2,
    )
    .await;
    scene.confirm(&["--none"]).await;
    scene.write("wamid.START2==", "start").await;
    scene.write("wamid.STOP4==", "stop").await;
    assert!(is_suppressed(&scene.customer, PERSON).await);
    assert_eq!(scene.confirmations().await.len(), 2);
}

/// The confirmation is in the commit of the opt-out: a gateway that is killed then loses nothing, and one that dies before
/// commits neither.
pub async fn opt_out_confirmations_survive_a_crash(services: &Services) {
    let mut scene = Scene::new(services).await;
    scene.write("wamid.STOP==", "stop").await;
    scene.gateway.take().expect("it runs").kill().await;
    let [(message, status)] = &scene.confirmations().await[..] else { panic!("there is one") };
    assert_eq!(status, "queued");
    let _others = scene.start_delivery().await;
    scene.world.wait_for_status(message, &["sent"]).await;
    assert_eq!(scene.provider.calls().len(), 1);

    let pool = Pool::new(&Hidden(scene.world.database_url.clone()), 1).expect("an address");
    let mut session = pool.get().await.expect("a connection");
    let transaction = session.begin().await.expect("a transaction");
    let sender = (scene.customer.account_id, "confirming");
    let wish = (Some("stop"), Wish::OptOut);
    let heeded = recipients::heed(&transaction, sender, "966500017009", wish, Clock::system().now()).await;
    heeded.expect("it is heeded");
    drop(transaction);
    drop(session);
    assert_eq!(scene.confirmations().await.len(), 1);
    assert_eq!(count(&scene.database, "select count(*) from suppressions").await, 1);
}

/// Nobody is answered who does not want to be left alone any more, whom an operator has suppressed meanwhile, who wrote
/// long ago, or who wrote nothing at all.
pub async fn opt_out_confirmations_that_are_late_are_not_sent(services: &Services) {
    let scene = Scene::new(services).await;
    scene.write("wamid.STOP==", "stop").await;
    scene.write("wamid.START==", "start").await;
    let taken = "+966500017002";
    scene.world.report(&scene.database, &text(&scene.customer, taken, "wamid.STOP2==", "stop")).await;
    let add = ["suppression", "add", "--account", &scene.customer.account, "--phone", taken];
    scene.world.admin(&add).await;
    assert_eq!(scene.confirmations().await.len(), 2);
    let mut old = text(&scene.customer, "+966500017003", "wamid.STOP3==", "stop");
    old["entry"][0]["changes"][0]["value"]["messages"][0]["timestamp"] = (now() - 3_700).to_string().into();
    scene.world.report(&scene.database, &old).await;
    let preference = json!([{"wa_id": "966500017004", "category": "marketing_messages", "value": "stop",
        "timestamp": now()}]);
    let preference = callback(&scene.customer, "user_preferences", &preference);
    scene.world.report(&scene.database, &preference).await;
    assert_eq!(count(&scene.database, "select count(*) from suppressions").await, 3);

    let confirmations = scene.confirmations().await;
    assert_eq!(confirmations.len(), 2);
    let _others = scene.start_delivery().await;
    for (message, _) in &confirmations {
        scene.world.wait_for_status(message, &["expired"]).await;
        assert_eq!(life(&scene.database, message).await, "queued expired");
    }
    assert!(scene.provider.calls().is_empty());
    assert_eq!(count(&scene.database, "select coalesce(sum(used), 0) from quota_usage").await, 0);
}

/// Two dozen people's messages are let go in the moment in which all of them write STOP: whatever was not begun by the time
/// the opt-outs are committed is never attempted.
pub async fn opt_out_wins_the_race_against_what_waits(services: &Services) {
    const PEOPLE: usize = 24;
    let mut world = World::new(services).await;
    world.let_crowds_pass();
    let _processes = world.start_all().await;
    let (customer, database) = (world.customer_with("3/s").await, world.database().await);
    let connection = async |state: &str| {
        let which =
            ["instance", "set-connection", "--account", &customer.account, "--id", &customer.instance];
        world.admin(&[&which[..], &[state]].concat()).await;
    };
    connection("connecting").await;
    let phone = |n: usize| format!("+96650001{n:02}01");
    for n in 0..PEOPLE {
        customer.accepted(&phone(n)).await;
    }
    let stops: Vec<Value> = (0..PEOPLE)
        .map(|n| {
            json!({"from": phone(n).trim_start_matches('+'), "id": format!("wamid.STOP{n}=="),
                "timestamp": now().to_string(), "type": "text", "text": {"body": "STOP"}})
        })
        .collect();
    let stops = callback(&customer, "messages", &Value::Array(stops));
    let stop = async {
        wait_for_count(&database, "select least(count(*), 1) from attempts", 1).await;
        post(&world.gateway_url(), &stops).await;
    };
    // By the database's clock, so that a start of an attempt can be compared with it.
    let watcher = world.database().await;
    let committed = eventually("the opt-outs are committed", async || {
        let sql = "select count(*), clock_timestamp()::text from suppressions";
        let row = watcher.query_one(sql, &[]).await.expect("the database answers");
        (row.get::<_, i64>(0) == i64::try_from(PEOPLE).expect("few")).then(|| row.get::<_, String>(1))
    });
    let ((), (), committed) = tokio::join!(connection("open"), stop, committed);
    let open = "select count(*) from messages where due_at is not null";
    wait_for_count(&database, open, 0).await;
    let sql = "select count(*) from attempts where started_at > $1::text::timestamptz";
    let late: i64 = database.query_one(sql, &[&committed]).await.expect("attempts can be counted").get(0);
    assert_eq!(late, 0, "attempts after the commit of the opt-outs");
    let stopped =
        count(&database, "select count(*) from messages where error = 'recipient_suppressed'").await;
    let begun = count(&database, "select count(*) from attempts").await;
    assert_eq!(stopped + begun, i64::try_from(PEOPLE).expect("few"));
    assert!(stopped > 0 && begun > 0, "they raced: {begun} begun, {stopped} stopped");
    assert_eq!(world.calls("").await["total"], begun);
}
