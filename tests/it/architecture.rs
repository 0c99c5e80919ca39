//! The tree keeps its shape: rooms use only what is on floors below them, SQL and lapin have one home each.

use std::fs;
use std::path::{Path, PathBuf};

/// Floors from the ground up. A room uses rooms of lower floors and itself, and no other room of its own floor, except on
/// the ground, where the three belong together.
const FLOORS: [&[&str]; 5] = [
    &["domain", "config", "runtime"],
    &["store", "broker", "providers"],
    &["guard", "audit"],
    &["wiring"],
    &["intake", "delivery", "callbacks", "webhooks", "sweep", "admin", "sandbox", "gateway", "demo"],
];

/// What the gateway is composed of, and what the demo drives: the two that stand above their floor.
const ABOVE: [(&str, &[&str]); 2] = [("gateway", &["intake", "callbacks"]), ("demo", &["admin"])];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder can be read");
    let mut files = Vec::new();
    for path in entries.map(|entry| entry.expect("an entry").path()) {
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The room a file belongs to: its first folder, or its own name.
fn room(path: &Path) -> String {
    let inside = path.strip_prefix(src()).expect("a source of ours");
    let first = inside.components().next().expect("a name").as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// The rooms a source names after `crate::`.
fn used(text: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for (_, after) in text.match_indices("crate::").map(|(at, found)| (at, &text[at + found.len()..])) {
        let list = match after.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or_default(),
            None => after,
        };
        let names = if after.starts_with('{') { list.split(',').collect() } else { vec![list] };
        for name in names {
            let name: String =
                name.trim().chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            rooms.push(name);
        }
    }
    rooms
}

pub fn floors_point_down() {
    let mut wrong = Vec::new();
    let mut arrows = 0;
    for path in sources(&src()) {
        let from = room(&path);
        let Some(from_floor) = floor(&from) else {
            assert!(["lib", "main", "cli"].contains(&from.as_str()), "{from} has no floor: add it to FLOORS");
            continue;
        };
        for to in used(&fs::read_to_string(&path).expect("a source can be read")) {
            let Some(to_floor) = floor(&to) else { continue };
            arrows += 1;
            let allowed = from == to
                || to_floor < from_floor
                || (from_floor == 0 && to_floor == 0)
                || ABOVE.iter().any(|(above, below)| *above == from && below.contains(&to.as_str()));
            if !allowed {
                wrong.push(format!("{}: {from} uses {to}", path.display()));
            }
        }
    }
    assert!(arrows > 50, "the sources were read");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

pub fn sql_and_lapin_have_one_home() {
    let statements = ["select ", "insert into ", "update ", "delete from "];
    let mut wrong = Vec::new();
    for path in sources(&src()) {
        let text = fs::read_to_string(&path).expect("a source can be read");
        let (room, name) = (room(&path), path.display());
        if room != "broker" && text.contains("lapin::") {
            wrong.push(format!("{name} names lapin"));
        }
        if room != "store" && (text.contains("tokio_postgres::") || text.contains("deadpool_postgres::")) {
            wrong.push(format!("{name} names the database's driver"));
        }
        let strings = text.split('"').skip(1).step_by(2);
        for string in strings.map(str::trim_start) {
            if room != "store"
                && statements.iter().any(|start| string.starts_with(start))
                && string.contains(" from ")
            {
                wrong.push(format!("{name} has SQL: {string:.60}"));
            }
        }
        let pure = ["tokio::", "reqwest", "axum", "tokio_postgres", "lapin"];
        if room == "domain" && pure.iter().any(|impure| text.contains(impure)) {
            wrong.push(format!("{name} is not pure"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
