//! One tenant with another's ids in hand: every command and every route answers as for an id that nobody has, and changes
//! nothing of the other's.

use serde_json::json;

use crate::support::process::Binary;
use crate::support::rows::dump_of;
use crate::support::services::Services;
use crate::support::world::{Answer, Customer, World, id};

/// What an id would be called that nobody has, for each of the victim's.
struct Ids {
    instance: String,
    key: String,
    endpoint: String,
    log_id: String,
    sender: String,
    phone: String,
    word: String,
}

/// A customer with something of every kind.
async fn victim(world: &World) -> (Customer, Ids) {
    let customer = world.customer().await;
    let a = customer.account.as_str();
    let endpoint =
        world.admin(&["webhook", "create", "--account", a, "--url", "https://shop.example/hook"]).await;
    let phone = "+966500000077".to_owned();
    world.admin(&["suppression", "add", "--account", a, "--phone", &phone]).await;
    world.admin(&["opt-out-words", "add", "--account", a, "--word", "genug"]).await;
    world.admin(&["internal-number", "add", "--account", a, "--phone", &phone]).await;
    world.admin(&["instance", "pause", "--account", a, "--id", "shop-main"]).await;
    let unresolved =
        "insert into unresolved_senders (account_id, instance_id, sender, wish, first_at, last_at)
        values ($1, 'shop-main', '271828182845904@lid', 'opt_out', now(), now())";
    world.database().await.execute(unresolved, &[&customer.account_id]).await.expect("it can be made");
    let refused = customer.send(&customer.message("+966500010001")).await;
    assert_eq!(refused.error(), "instance_paused_for_review");
    let sql = "select log_id::text from policy_log where account_id = $1";
    let log_id = world.database().await.query_one(sql, &[&customer.account_id]).await.expect("it is logged");
    let ids = Ids {
        instance: "shop-main".to_owned(),
        key: customer.key_id.clone(),
        endpoint: id(&endpoint),
        log_id: log_id.get(0),
        sender: "271828182845904@lid".to_owned(),
        phone,
        word: "genug".to_owned(),
    };
    (customer, ids)
}

/// Ids that nobody has, each as long as the one it stands for.
fn nobodys() -> Ids {
    Ids {
        instance: "shop-none".to_owned(),
        key: "01980000-0000-7000-8000-000000000001".to_owned(),
        endpoint: "01980000-0000-7000-8000-000000000002".to_owned(),
        log_id: "999999".to_owned(),
        sender: "314159265358979@lid".to_owned(),
        phone: "+966500000078".to_owned(),
        word: "nihil".to_owned(),
    }
}

/// Every command that is given an id of something that belongs to an account, as that account.
fn commands(account: &str, ids: &Ids) -> Vec<Vec<String>> {
    let of = |words: &str, name: &str, value: &str, more: &[&str]| {
        let mut line: Vec<String> = words.split(' ').map(str::to_owned).collect();
        line.extend(["--account", account, name, value].map(str::to_owned));
        line.extend(more.iter().map(|&more| more.to_owned()));
        line
    };
    let instance = |word: &str, more: &[&str]| of(&format!("instance {word}"), "--id", &ids.instance, more);
    let mut log: Vec<String> = ["log", "show", &ids.log_id].map(str::to_owned).to_vec();
    log.extend(["--account", account].map(str::to_owned));
    vec![
        instance("pause", &["--reason", "spite"]),
        instance("resume", &["--note", "spite"]),
        instance("reviews", &[]),
        instance("set-connection", &["close"]),
        instance("set-rate", &["1/h"]),
        instance("set-on-unknown", &["resend"]),
        instance("set-outside-window", &["try"]),
        instance("set-confirmation", &["--opt-out", "spite"]),
        instance("set-token", &["--token-env", "SANDBOX_TOKEN"]),
        instance("check", &[]),
        instance("register-webhook", &["--callback-url", "http://127.0.0.1:9"]),
        of("api-key revoke", "--id", &ids.key, &[]),
        of("webhook delete", "--id", &ids.endpoint, &[]),
        of("suppression remove", "--phone", &ids.phone, &[]),
        of("suppression list", "--phone", &ids.phone, &[]),
        of("suppression resolve", "--sender", &ids.sender, &["--phone", "+966500000079"]),
        of("opt-out-words remove", "--word", &ids.word, &[]),
        of("internal-number remove", "--phone", &ids.phone, &[]),
        log,
    ]
}

/// An answer's text without what names the id that was asked for.
fn blind(text: &str, ids: &Ids) -> String {
    let all = [&ids.instance, &ids.key, &ids.endpoint, &ids.sender, &ids.word];
    let text = all.into_iter().fold(text.to_owned(), |text, id| text.replace(id.as_str(), "ID"));
    let text = text.replace(&format!("decision {}", ids.log_id), "decision ID");
    text.replace(ids.phone.as_str(), "ID").replace(ids.phone.trim_start_matches('+'), "ID")
}

/// Every command of the operator's with the account of one tenant and the ids of another: to the byte what it says of ids
/// that nobody has, and no row of the other's is another one afterwards.
pub async fn tenants_ids_are_nobodys_to_others_commands(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let (victim, theirs) = victim(&world).await;
    let other = world.admin(&["account", "create", "--name", "Other", "--plan", "starter"]).await;
    let (other, nobodys) = (id(&other), nobodys());
    let database = world.database().await;
    let before = dump_of(&database, victim.account_id).await;
    for id in [&theirs.instance, &theirs.key, &theirs.endpoint, &theirs.sender, &theirs.word] {
        assert!(before.contains(id.as_str()), "there is something to lose: {id}");
    }
    for (line, blank) in commands(&other, &theirs).iter().zip(commands(&other, &nobodys)) {
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        let blank: Vec<&str> = blank.iter().map(String::as_str).collect();
        let (code, out, error) = world.run_admin(&line).await;
        let (expected, expected_out, expected_error) = world.run_admin(&blank).await;
        let told = (code, blind(&out, &theirs), blind(&error, &theirs));
        assert_eq!(
            told,
            (expected, blind(&expected_out, &nobodys), blind(&expected_error, &nobodys)),
            "{line:?}"
        );
        assert!(code == 1 || out.contains("\"items\":[]"), "{line:?}: {out}{error}");
    }
    for list in [
        vec!["instance", "list"],
        vec!["api-key", "list"],
        vec!["webhook", "list"],
        vec!["suppression", "list"],
        vec!["suppression", "unresolved"],
        vec!["opt-out-words", "list"],
        vec!["internal-number", "list"],
    ] {
        let shown = world.admin(&[&list[..], &["--account", &other]].concat()).await;
        assert_eq!(shown, json!({"items": []}), "{list:?}");
    }
    assert_eq!(dump_of(&database, victim.account_id).await, before);
}

/// What is told of a request: all but what names or dates the request itself.
fn told(answer: &Answer) -> (u16, String, Vec<(String, String)>) {
    let own = ["x-request-id", "date", "ratelimit"];
    let headers = answer.headers.iter().filter(|(name, _)| !own.contains(&name.as_str()));
    let headers = headers.map(|(name, value)| (name.to_string(), format!("{value:?}")));
    (answer.status, answer.text.clone(), headers.collect())
}

/// Every route with another's ids, where a route takes one: an instance, an idempotency key that the other has used, and
/// ids where none are asked for. The other's rows stay as they are, and so does what they have left.
pub async fn tenants_ids_are_nobodys_to_others_requests(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let (victim, attacker) = (world.customer().await, world.customer().await);
    let theirs = ["instance", "create", "--account", &victim.account, "--id", "theirs-1", "--name", "Theirs"];
    let provider = ["--provider", "sandbox", "--phone-number-id", "42", "--base-url", &world.sandbox_url];
    world.admin(&[&theirs[..], &provider[..]].concat()).await;
    let mut sent = victim.message("+966500010001");
    sent["instance_id"] = "theirs-1".into();
    let first =
        crate::support::world::answer(victim.request(&sent).header("idempotency-key", "order-1")).await;
    assert_eq!(first.status, 202, "{}", first.text);
    let database = world.database().await;
    let before = dump_of(&database, victim.account_id).await;

    for path in ["/api/send-message", "/api/check-message"] {
        let ask = async |instance: &str| {
            let mut body = attacker.message("+966500010001");
            body["instance_id"] = instance.into();
            let request =
                attacker.http.post(format!("{}{path}", world.gateway_url())).bearer_auth(&attacker.key);
            crate::support::world::answer(request.json(&body).header("idempotency-key", "order-1")).await
        };
        let (theirs, nobodys) = (ask("theirs-1").await, ask("nobody-1").await);
        assert_eq!(told(&theirs), told(&nobodys), "{path}");
        assert!(theirs.text.contains("invalid_instance"), "{path}: {}", theirs.text);
    }
    // The other's idempotency key is a new one here, and members that name other things of theirs are passed over.
    let mut own = attacker.message("+966500010002");
    for (name, value) in [
        ("account_id", json!(victim.account_id)),
        ("log_id", first.body["log_id"].clone()),
        ("message_id", first.body["message_id"].clone()),
        ("api_key_id", json!(victim.key_id)),
    ] {
        own[name] = value;
    }
    let request = attacker.request(&own).header("idempotency-key", "order-1");
    let request = request.header("x-account-id", &victim.account).header("x-api-key", &victim.key);
    let accepted = crate::support::world::answer(request).await;
    assert_eq!((accepted.status, accepted.header("idempotent-replayed")), (202, None), "{}", accepted.text);
    assert_ne!(accepted.message_id(), first.message_id());
    let usage = format!("{}/api/usage?account_id={}", world.gateway_url(), victim.account);
    let usage = crate::support::world::answer(attacker.http.get(usage).bearer_auth(&attacker.key)).await;
    assert_eq!(usage.body["day"]["used"], 1, "{}", usage.text);
    // A key's id, its hint and its hash are no keys.
    for key in [victim.key_id.as_str(), &victim.key[..12], &format!("gp_live_{}", victim.key_id)] {
        let stranger = Customer { key: key.to_owned(), ..attacker.clone() };
        assert_eq!(stranger.send(&sent).await.error(), "invalid_api_key", "{key}");
    }
    assert_eq!(dump_of(&database, victim.account_id).await, before);
}
