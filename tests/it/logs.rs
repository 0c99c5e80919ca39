//! What the processes write down about their work: ids, never a person, a text or a secret; and one request id from the
//! customer's request to the customer's webhook.

use serde_json::{Value, json};

use crate::support::desk::{self, Desk, LID, PERSON, sample};
use crate::support::meta::{self, post_signed, text};
use crate::support::process::{Binary, Process};
use crate::support::receiver::{Receiver, Reply};
use crate::support::rows::wait_for_count;
use crate::support::services::Services;
use crate::support::world::{APP_SECRET, Answer, Customer, SECRET_KEY, VERIFY_TOKEN, World, answer};
use crate::support::{eventually, http};

const PROVIDER_TOKEN: &str = "EAAGm0PX4ZCpsBAKZCsecrettoken";
const WRONG_KEY: &str = "gp_live_thisKeyIsNobodysThisKeyIsNobodys1234567";

/// Everything that was said in a run, and what of it nobody may find in a log.
struct Said {
    secrets: Vec<(&'static str, String)>,
    accepted: Answer,
    refused: Answer,
    receiver: Receiver,
    processes: Vec<Process>,
}

/// A customer whose provider knows a token that is worth hiding.
async fn customer(world: &mut World) -> Customer {
    let mut customer = world.customer().await;
    world.set("META_TOKEN", PROVIDER_TOKEN);
    let (account, url) = (customer.account.clone(), world.sandbox_url.clone());
    let mut create = vec!["instance", "create", "--account", &account, "--id", "hidden", "--name", "Hidden"];
    create.extend(["--provider", "sandbox", "--base-url", &url, "--phone-number-id", "109000111222333"]);
    create.extend(["--token-env", "META_TOKEN", "--rate", "1000/s,burst=100"]);
    world.admin(&create).await;
    "hidden".clone_into(&mut customer.instance);
    "109000111222333".clone_into(&mut customer.phone_number_id);
    customer
}

/// Sends that go well and sends that fail in every way.
async fn send_everything(customer: &Customer) -> (Answer, Answer) {
    let accepted = customer.send(&customer.message("+966500010001")).await;
    assert_eq!(accepted.status, 202, "{}", accepted.text);
    customer.send(&customer.code("+966500020002")).await.message_id();
    for ending in ["0004", "0010", "0011", "0012", "0020", "0022", "0032", "0033", "0034", "0050"] {
        customer.accepted(&format!("+96650001{ending}")).await;
    }
    let mut marketing = customer.message("+966500017001");
    marketing["message_purpose"] = "marketing".into();
    let refused = customer.send(&marketing).await;
    assert_eq!(refused.status, 422);
    let mut wrong = customer.message("+966500017002");
    wrong["media_url"] = "https://example.com/invoice.pdf".into();
    assert_eq!(customer.send(&wrong).await.status, 422);
    let broken = format!(r#"{{"phone":"+966500017003","message":"Your code is 482913." {}"#, "\u{1}");
    let request = customer.request(&json!({})).body(broken);
    assert_eq!(answer(request).await.status, 400);
    let url = format!("{}/api/send-message", customer.gateway_url);
    let unknown = http().post(&url).bearer_auth(WRONG_KEY);
    assert_eq!(answer(unknown.json(&customer.message("+966500017004"))).await.status, 401);
    let keyless = http().post(&url).json(&customer.message("+966500017005"));
    assert_eq!(answer(keyless).await.status, 401);
    (accepted, refused)
}

/// What Meta and Evolution, and others who look like them, say; gives the token of Evolution's address.
async fn hear_everything(world: &World, customer: &Customer) -> String {
    let gateway = world.gateway_url();
    let desk = Desk::open(&world.database().await).await;
    for name in ["stop_lid_only", "stop_with_number_and_lid", "qrcode_updated", "connection_open"] {
        desk.post(world, &sample(name)).await;
    }
    assert_eq!(desk::post(&gateway, &desk.token, &b"966533330007 says"[..]).await.status, 200);
    assert_eq!(desk::post(&gateway, &desk.token.to_uppercase(), "{}").await.status, 401);
    let query = [("hub.mode", "subscribe"), ("hub.challenge", "1"), ("hub.verify_token", VERIFY_TOKEN)];
    let url = reqwest::Url::parse_with_params(&format!("{gateway}/callbacks/meta"), &query).expect("a URL");
    assert!(http().get(url).send().await.expect("the gateway answers").status().is_success());
    let sentence = text(customer, "966500017006", "wamid.IN1==", "Where is my invoice INV-2041?");
    meta::post(&gateway, &sentence).await;
    meta::post(&gateway, &text(customer, "966500017006", "wamid.IN2==", "Unsubscribe")).await;
    let forged = sentence.to_string().into_bytes();
    assert_eq!(post_signed(&gateway, forged.clone(), Some("sha256=00")).await, 403);
    assert_eq!(post_signed(&gateway, forged, None).await, 403);
    let nonsense = b"966500017006 says: Where is my invoice INV-2041?".to_vec();
    let signature = meta::signature(APP_SECRET, &nonsense);
    assert_eq!(post_signed(&gateway, nonsense, Some(&signature)).await, 200);
    desk.token
}

/// Runs everything with every process's log at its fullest.
async fn run(services: &Services, format: &str) -> (World, Said) {
    let mut world = World::new(services).await;
    world.set("RUST_LOG", "trace");
    world.set("GATEPOST_LOG_FORMAT", format);
    let processes = world.start_all().await;
    let customer = customer(&mut world).await;
    let receiver = Receiver::start().await;
    receiver.answer(0, 500);
    let mut secrets = Vec::new();
    for url in
        [receiver.url.clone(), "http://localhost:9/nobody-listens".to_owned(), "http://10.0.0.1/".to_owned()]
    {
        let made = world.admin(&["webhook", "create", "--account", &customer.account, "--url", &url]).await;
        let secret = made["secret"].as_str().expect("the secret is shown once").to_owned();
        if url == receiver.url {
            receiver.trust(&secret);
        }
        secrets.push(("a webhook secret", secret.trim_start_matches("whsec_").to_owned()));
    }
    let (accepted, refused) = send_everything(&customer).await;
    let callback_token = hear_everything(&world, &customer).await;
    let database = world.database().await;
    let open = "select count(*) from messages where status in ('queued', 'sending')";
    wait_for_count(&database, open, 0).await;
    let id = accepted.message_id();
    world.wait_for_status(&id, &["read"]).await;
    eventually("the life is told", async || (receiver.rises(&id).len() == 4).then_some(())).await;
    wait_for_count(&database, "select count(*) from callbacks where due_at is not null", 0).await;
    receiver.always_reply(Reply::status(410));

    secrets.extend([
        ("the customer's key", customer.key.clone()),
        ("a wrong callback token", callback_token.to_uppercase()),
        ("a callback token", callback_token),
        ("a person's number", PERSON.to_owned()),
        ("a person's other name", LID.to_owned()),
        ("a pairing code", "2@SAMPLE".to_owned()),
        ("a wrong key", WRONG_KEY.to_owned()),
        ("the provider's token", PROVIDER_TOKEN.to_owned()),
        ("the app secret", APP_SECRET.to_owned()),
        ("the verify token", VERIFY_TOKEN.to_owned()),
        ("the verify token in a query", VERIFY_TOKEN.replace(' ', "+")),
        ("the secret key", SECRET_KEY.to_owned()),
        ("a phone number", "96650001".to_owned()),
        ("a phone number", "966500020002".to_owned()),
        ("a phone number", "50001".to_owned() + "7"),
        ("a text", "INV-2041".to_owned()),
        ("a code", "482913".to_owned()),
        ("a text", "Unsubscribe".to_owned()),
        ("a link", "invoice.pdf".to_owned()),
    ]);
    for url in [&world.database_url, &world.amqp_url] {
        let password = url
            .split_once("://")
            .and_then(|(_, rest)| rest.split_once('@'))
            .and_then(|(user, _)| user.split_once(':'));
        secrets.extend(password.map(|(_, password)| ("a password of a server", password.to_owned())));
    }
    (world, Said { secrets, accepted, refused, receiver, processes })
}

/// A secret as it is, and as `Debug` shows its bytes.
fn forms(secret: &str) -> [String; 2] {
    let bytes = format!("{:?}", secret.as_bytes());
    [secret.to_owned(), bytes.trim_matches(['[', ']']).to_owned()]
}

/// No log and no metric holds anything of a person, or a secret.
async fn assert_discreet(said: &Said) {
    let secrets: Vec<(&str, [String; 2])> =
        said.secrets.iter().map(|(what, secret)| (*what, forms(secret))).collect();
    for process in &said.processes {
        let (_, metrics) = process.ask("/metrics").await.expect("it serves metrics");
        let log = process.log();
        for line in log.lines().chain(metrics.lines()) {
            for (what, forms) in &secrets {
                let told = forms.iter().any(|form| line.contains(form.as_str()));
                assert!(!told, "{:?} tells {what}: {line}", process.binary);
            }
        }
        assert!(log.contains("TRACE"), "{:?} logs at its fullest", process.binary);
    }
}

/// Sends, failures, an opt-out, webhooks, a wrong key and invalid requests with everything logged as text: no phone number,
/// text, key, token, secret or password in it. The request's id is in the gateway's log and in the webhook.
pub async fn text_logs_hold_no_person_and_no_secret(services: &Services) {
    let (_world, said) = run(services, "text").await;
    assert_discreet(&said).await;
    let request_id = said.accepted.header("x-request-id").expect("every answer names its request");
    let id = said.accepted.message_id();
    let log = said.processes[0].log();
    let line = log.lines().find(|line| line.contains("accepted") && line.contains(&id));
    let line = line.expect("the gateway says what it accepted");
    assert!(line.contains(&format!("request_id=\"{request_id}\"")), "{line}");
    let told =
        said.receiver.received().into_iter().filter(|webhook| webhook.body["message_id"] == id.as_str());
    assert!(told.into_iter().all(|webhook| webhook.body["request_id"] == request_id));
    let refused = said.refused.header("x-request-id").expect("every answer names its request");
    let line = log.lines().find(|line| line.contains(refused)).expect("the gateway says what it refused");
    assert!(line.contains("message_purpose_not_allowed"), "{line}");
}

/// As above with JSON logs, of which every line is one object with time, level, target and message; and the request's id
/// leads through every process that had a part in it.
pub async fn json_logs_hold_no_person_and_no_secret(services: &Services) {
    let (_world, said) = run(services, "json").await;
    assert_discreet(&said).await;
    let request_id = said.accepted.header("x-request-id").expect("every answer names its request");
    for process in &said.processes {
        let mut of_request = 0;
        for line in process.log().lines() {
            let entry: Value =
                serde_json::from_str(line).unwrap_or_else(|_| panic!("a line in JSON: {line}"));
            for field in ["timestamp", "level", "target"] {
                assert!(entry[field].is_string(), "{field}: {line}");
            }
            of_request += usize::from(entry["request_id"] == request_id);
        }
        let takes_part = !matches!(process.binary, Binary::Sweep);
        assert_eq!(of_request > 0, takes_part, "{:?}", process.binary);
    }
}
