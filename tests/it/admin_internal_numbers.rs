//! The numbers of an account's own team, as the operator keeps them.

use serde_json::{Value, json};

use crate::support::services::Services;
use crate::support::world::{World, id};

const DANA: &str = "+966500070001";
const OMAR: &str = "+966500080001";

/// The arguments of a command on the account's numbers.
fn command<'a>(what: &'a str, account: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["internal-number", what, "--account", account], more].concat()
}

async fn items(world: &World, account: &str) -> Vec<Value> {
    let listed = world.admin(&command("list", account, &[])).await;
    listed["items"].as_array().expect("a list").clone()
}

/// A number is added once, may be given another name, is listed with it, and is removed; what is wrong is said.
pub async fn internal_numbers_are_added_named_and_removed(services: &Services) {
    let world = World::new(services).await;
    let made = world.admin(&["account", "create", "--name", "Shop", "--plan", "starter"]).await;
    let account = id(&made);
    let (a, dana) = (account.as_str(), ["--phone", "+966 50 007 0001"]);
    assert_eq!(world.admin(&command("add", a, &dana)).await, json!({"id": DANA}));
    let named = [&dana[..], &["--name", "Dana"]].concat();
    let text = world.admin_text(&command("add", a, &named)).await;
    assert_eq!(text, format!("{DANA} was an internal number already\n"));
    let text = world.admin_text(&command("add", a, &["--phone", OMAR])).await;
    assert_eq!(text, format!("{OMAR} is an internal number\n"));
    world.admin(&command("add", a, &dana)).await;

    let rows = items(&world, a).await;
    let shown: Vec<(&Value, &Value)> = rows.iter().map(|row| (&row["phone"], &row["name"])).collect();
    assert_eq!(shown, [(&json!(DANA), &json!("Dana")), (&json!(OMAR), &Value::Null)]);
    assert_eq!(rows[0].as_object().map(serde_json::Map::len), Some(3), "and since when: {}", rows[0]);
    let table = world.admin_text(&command("list", a, &[])).await;
    let cells: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(cells[0], ["phone", "name", "since"]);
    assert_eq!((&cells[1][..2], &cells[2][..2]), (&[DANA, "Dana"][..], &[OMAR, "-"][..]));

    let text = world.admin_text(&command("remove", a, &dana)).await;
    assert_eq!(text, format!("{DANA} is not an internal number any more\n"));
    assert_eq!(items(&world, a).await.len(), 1);
    let said = world.admin_fails(1, &command("remove", a, &dana)).await;
    assert_eq!(said, format!("account {a} has no internal number {DANA}"));
    for (more, named) in [
        (&["--phone", "12"][..], "for example +966500000001"),
        (&["--phone", DANA, "--name", " "], "1 to 100 characters"),
        (&[], "--phone"),
    ] {
        let said = world.admin_refuses(&command("add", a, more)).await;
        assert!(said.contains(named), "{more:?}: {said}");
    }
}

/// One account's numbers are no other account's, and nobody's account has none.
pub async fn internal_numbers_are_the_accounts_own(services: &Services) {
    let world = World::new(services).await;
    let create = ["account", "create", "--name", "Shop", "--plan", "starter"];
    let (one, other) = (id(&world.admin(&create).await), id(&world.admin(&create).await));
    world.admin(&command("add", &one, &["--phone", DANA])).await;
    assert!(items(&world, &other).await.is_empty());
    let said = world.admin_fails(1, &command("remove", &other, &["--phone", DANA])).await;
    assert_eq!(said, format!("account {other} has no internal number {DANA}"));
    assert_eq!(items(&world, &one).await.len(), 1);
    for (what, more) in [("add", &["--phone", DANA][..]), ("remove", &["--phone", DANA]), ("list", &[])] {
        let said = world.admin_fails(1, &command(what, "999999", more)).await;
        assert_eq!(said, "account 999999 does not exist", "{what}");
    }
}
