//! The operator's commands, and how soon running gateways heed them.

use serde_json::Value;
use tokio::time::Instant;

use crate::support::process::Binary;
use crate::support::rows::dump;
use crate::support::services::Services;
use crate::support::world::{Answer, Customer, World, answer, id};
use crate::support::{eventually, process};

/// The members of an object, sorted.
fn members(object: &Value) -> Vec<&str> {
    object.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// Runs a command that must succeed; checks that it prints one object with exactly these members, in one line.
async fn prints(world: &World, arguments: &[&str], expected: &[&str]) -> Value {
    let (code, out, error) = world.run_admin(arguments).await;
    assert_eq!((code, error.as_str()), (0, ""), "{arguments:?}");
    assert_eq!(out.lines().count(), 1, "{arguments:?}: {out}");
    let object: Value = serde_json::from_str(&out).expect("one JSON object");
    assert_eq!(members(&object), expected, "{arguments:?}");
    object
}

/// Every command prints one object: `id`, `secret` where one is made, `items` for lists.
pub async fn admin_prints_one_object(services: &Services) {
    let world = World::new(services).await;
    let made = prints(
        &world,
        &["account", "create", "--name", "Shop", "--plan", "starter", "--timezone", "Asia/Riyadh"],
        &["id"],
    );
    let account = id(&made.await);
    let a = account.as_str();
    for change in [
        vec!["account", "set-plan", a, "--plan", "growth"],
        vec!["account", "set-limits", a, "--daily", "7", "--monthly", "70"],
        vec!["account", "set-api-access", a, "off"],
        vec!["account", "set-api-access", a, "on"],
        vec!["account", "suspend", a],
        vec!["account", "activate", a],
    ] {
        let changed = prints(&world, &change, &["id"]).await;
        assert_eq!(id(&changed), account, "{change:?}");
    }
    let customer = world.customer_of(account.clone(), "20/s").await;
    for change in [
        vec!["instance", "pause", "--account", a, "--id", "shop-main", "--reason", "complaints"],
        vec!["instance", "resume", "--account", a, "--id", "shop-main", "--note", "looked into"],
        vec!["instance", "set-connection", "--account", a, "--id", "shop-main", "connecting"],
        vec!["instance", "set-rate", "--account", a, "--id", "shop-main", "30/min,burst=3"],
    ] {
        assert_eq!(prints(&world, &change, &["id"]).await["id"], "shop-main", "{change:?}");
    }
    let key = prints(&world, &["api-key", "create", "--account", a], &["id", "secret"]).await;
    let secret = key["secret"].as_str().expect("a text");
    assert!(secret.starts_with("gp_live_") && secret.len() >= 40, "prefixed, with at least 190 random bits");
    let revoked = prints(&world, &["api-key", "revoke", "--account", a, "--id", &id(&key)], &["id"]).await;
    assert_eq!(revoked, serde_json::json!({"id": id(&key)}));
    let hook = [
        "webhook",
        "create",
        "--account",
        a,
        "--url",
        "https://shop.example/hook",
        "--events",
        "message.read",
    ];
    let hook = prints(&world, &hook, &["id", "secret"]).await;
    assert!(hook["secret"].as_str().expect("a text").starts_with("whsec_"));
    let phone = ["--account", a, "--phone", "+966 50 000 0001"];
    let add = [&["suppression", "add"], &phone[..]].concat();
    assert_eq!(prints(&world, &add, &["id"]).await["id"], "+966500000001");
    lists(&world, &customer, &key, &hook).await;
    let remove = [&["suppression", "remove"], &phone[..]].concat();
    assert_eq!(prints(&world, &remove, &["id"]).await["id"], "+966500000001");
    let delete = ["webhook", "delete", "--account", a, "--id", &id(&hook)];
    assert_eq!(prints(&world, &delete, &["id"]).await["id"], hook["id"]);
}

/// The lists say what was made and changed.
async fn lists(world: &World, customer: &Customer, key: &Value, hook: &Value) {
    let a = customer.account.as_str();
    let items = async |arguments: &[&str]| prints(world, arguments, &["items"]).await["items"].clone();
    let accounts = items(&["account", "list"]).await;
    let account = &accounts[0];
    let shown = [&account["plan"], &account["status"], &account["timezone"]];
    assert_eq!(shown, ["growth", "active", "Asia/Riyadh"]);
    assert_eq!((account["daily_limit"].as_i64(), account["monthly_limit"].as_i64()), (Some(7), Some(70)));
    let instances = items(&["instance", "list", "--account", a]).await;
    let shown = [&instances[0]["id"], &instances[0]["connection"], &instances[0]["rate"]];
    assert_eq!(shown, ["shop-main", "connecting", "1/2s,burst=3"]);
    let keys = items(&["api-key", "list", "--account", a]).await;
    let revoked: Vec<(&Value, bool)> = keys
        .as_array()
        .expect("a list")
        .iter()
        .map(|key| (&key["id"], !key["revoked_at"].is_null()))
        .collect();
    assert_eq!(revoked, [(&Value::from(customer.key_id.clone()), false), (&key["id"], true)]);
    let hooks = items(&["webhook", "list", "--account", a]).await;
    assert_eq!((&hooks[0]["id"], &hooks[0]["events"][0]), (&hook["id"], &Value::from("message.read")));
    let suppressions = items(&["suppression", "list", "--account", a]).await;
    assert_eq!((&suppressions[0]["scope"], &suppressions[0]["source"]), (&"all".into(), &"operator".into()));
}

/// Bad arguments end with exit code 2, print nothing on standard output, change nothing, and say what is allowed.
pub async fn admin_says_what_is_allowed(services: &Services) {
    let world = World::new(services).await;
    let customer = world.customer().await;
    let a = customer.account.as_str();
    let before = dump(&world.database().await).await;
    let instance = ["instance", "create", "--account", a, "--id", "b", "--name", "B", "--provider"];
    for (line, allowed) in [
        (vec!["account", "create", "--name", "N", "--plan", "gold"], "starter, growth, scale"),
        (
            vec!["account", "create", "--name", "N", "--plan", "scale", "--timezone", "Mars"],
            "IANA database, for example Asia/Riyadh",
        ),
        (vec!["account", "create", "--name", " ", "--plan", "scale"], "1 to 100 characters"),
        (vec!["account", "set-plan", a, "--plan", "x"], "starter, growth, scale, none"),
        (vec!["account", "set-limits", a, "--daily", "-1"], "0.."),
        (vec!["account", "suspend", "all"], "whole number from 1 on"),
        ([&instance[..], &["telegram"]].concat(), "meta, evolution, sandbox"),
        ([&instance[..], &["sandbox"]].concat(), "--phone-number-id is required for sandbox"),
        ([&instance[..], &["sandbox", "--rate", "fast"]].concat(), "20/s, 1/6s or 30/min,burst=3"),
        (
            [&instance[..], &["meta", "--phone-number-id", "1"]].concat(),
            "NAME of the variable that holds the access token",
        ),
        (
            vec!["instance", "set-connection", "--account", a, "--id", "shop-main", "up"],
            "open, connecting, close, suspect",
        ),
        (vec!["webhook", "create", "--account", a, "--url", "shop"], "https://example.com/path"),
        (
            vec!["webhook", "create", "--account", a, "--url", "https://shop.example", "--events", "lost"],
            "message.delivered",
        ),
        (vec!["suppression", "add", "--account", a, "--phone", "12"], "for example +966500000001"),
        (
            vec!["suppression", "add", "--account", a, "--phone", "+966500000001", "--scope", "x"],
            "all, non-essential",
        ),
        (vec!["api-key", "revoke", "--account", a], "--id"),
        (vec!["account", "destroy"], "create, set-plan, set-limits, set-api-access, suspend, activate, list"),
        (vec!["account"], "create, set-plan, set-limits, set-api-access, suspend, activate, list"),
    ] {
        let (code, out, error) = world.run_admin(&line).await;
        assert_eq!((code, out.as_str()), (2, ""), "{line:?}: {error}");
        let problem: Value = serde_json::from_str(&error).expect("one JSON object on standard error");
        assert_eq!(members(&problem), ["error"], "{line:?}");
        let problem = problem["error"].as_str().expect("a text");
        assert!(problem.contains(allowed), "{line:?}: {problem}");
    }
    assert_eq!(dump(&world.database().await).await, before);
}

/// What does not exist is named, with exit code 1; somebody else's is not told from nobody's.
pub async fn admin_names_what_is_not_there(services: &Services) {
    let world = World::new(services).await;
    let customer = world.customer().await;
    let other = world.admin(&["account", "create", "--name", "Other", "--plan", "starter"]).await;
    let (a, other) = (customer.account.as_str(), id(&other));
    let nobody = "account 999999 does not exist".to_owned();
    let of_other = |arguments: [&'static str; 2]| [&arguments[..], &["--account", &other, "--id"]].concat();
    for (line, problem) in [
        (vec!["account", "suspend", "999999"], nobody.clone()),
        (vec!["instance", "pause", "--account", "999999", "--id", "shop-main"], nobody),
        (vec!["instance", "pause", "--account", a, "--id", "x"], format!("account {a} has no instance `x`")),
        (
            [&of_other(["instance", "pause"])[..], &["shop-main"]].concat(),
            format!("account {other} has no instance `shop-main`"),
        ),
        (
            [&of_other(["api-key", "revoke"])[..], &[&customer.key_id]].concat(),
            format!("account {other} has no API key {}", customer.key_id),
        ),
    ] {
        let (code, out, error) = world.run_admin(&line).await;
        assert_eq!((code, out.as_str()), (1, ""), "{line:?}");
        assert_eq!(error, format!("{}\n", serde_json::json!({ "error": problem })));
    }
}

/// Asks until the answer is this one; gives it. No request begun a second after `changed` may be answered otherwise.
async fn heeds_within_a_second(
    customer: &Customer,
    url: &str,
    changed: Instant,
    expected: (u16, &str),
) -> Answer {
    eventually(&format!("{url} answers {expected:?}"), async || {
        let late = changed.elapsed().as_millis() > 1_000;
        let answer = answer(customer.request_at(url, &customer.message("+966500010009"))).await;
        let heeded = (answer.status, answer.error()) == expected;
        assert!(heeded || !late, "a second after the change: {}", answer.text);
        heeded.then_some(answer)
    })
    .await
}

/// What an operator does takes effect in every running gateway within a second, though both remember what they knew for
/// ten minutes: a suspension, a pause with 423, a revoked key; and so does what lifts them.
pub async fn admin_is_heeded_by_running_gateways_within_a_second(services: &Services) {
    let mut world = World::new(services).await;
    world.set("GATEPOST_CACHE_MS", 600_000);
    let first = world.start(Binary::Gateway).await;
    let (second, second_url) = world.start_second_gateway().await;
    let customer = world.customer().await;
    let urls = [world.gateway_url(), second_url];
    for url in &urls {
        let accepted = answer(customer.request_at(url, &customer.message("+966500010009"))).await;
        assert_eq!(accepted.status, 202, "{}", accepted.text);
    }
    let account = customer.account.as_str();
    let instance = ["--account", account, "--id", "shop-main"];
    for (command, expected) in [
        (vec!["account", "suspend", account], (402, "active_plan_required")),
        (vec!["account", "activate", account], (202, "")),
        ([&["instance", "pause"], &instance[..]].concat(), (423, "instance_paused_for_review")),
        ([&["instance", "resume"], &instance[..], &["--note", "looked into"]].concat(), (202, "")),
        (vec!["api-key", "revoke", "--account", account, "--id", &customer.key_id], (401, "revoked_api_key")),
    ] {
        world.admin(&command).await;
        let changed = Instant::now();
        for url in &urls {
            heeds_within_a_second(&customer, url, changed, expected).await;
        }
    }
    still_well(&[first, second]).await;
}

async fn still_well(processes: &[process::Process]) {
    for process in processes {
        assert_eq!(process.ready().await.map(|(status, _)| status), Some(200));
        assert!(!process.log().contains("panicked"), "{}", process.log());
    }
}

/// A key made while gateways run works at once, although it was asked for, and not found, before.
pub async fn admin_makes_keys_that_work_at_once(services: &Services) {
    let mut world = World::new(services).await;
    world.set("GATEPOST_CACHE_MS", 600_000);
    let _gateway = world.start(Binary::Gateway).await;
    let customer = world.customer().await;
    let refused = Customer { key: "gp_live_nobodys".to_owned(), ..customer.clone() };
    let refused = refused.send(&customer.message("+966500010001")).await;
    assert_eq!((refused.status, refused.error()), (401, "invalid_api_key"));
    let key = world.admin(&["api-key", "create", "--account", &customer.account]).await;
    let key = key["secret"].as_str().expect("a text").to_owned();
    Customer { key, ..customer.clone() }.accepted("+966500010001").await;
    // An instance that did not exist when it was asked for, does now.
    let second = Customer { instance: "second".to_owned(), ..customer.clone() };
    assert_eq!(second.send(&second.message("+966500010001")).await.error(), "invalid_instance");
    let made = ["instance", "create", "--account", &customer.account, "--id", "second", "--name", "Second"];
    let provider = ["--provider", "sandbox", "--phone-number-id", "42"];
    world.admin(&[&made[..], &provider[..]].concat()).await;
    heeds_within_a_second(&second, &world.gateway_url(), Instant::now(), (202, "")).await;
}
