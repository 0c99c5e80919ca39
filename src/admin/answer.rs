//! What a command prints: one JSON object for machines, or a short text for people.

use std::fmt::Write;
use std::process::ExitCode;

use serde::Serialize;

use crate::domain::phone::PhoneNumber;

/// A command's result, in both forms.
#[derive(Debug)]
pub struct Answer {
    json: String,
    text: String,
    alarming: bool,
}

/// The exit code of a command that did what it should and found something wrong.
const FOUND_WRONG: u8 = 3;

#[derive(Serialize)]
struct Done<Id> {
    id: Id,
}

#[derive(Serialize)]
struct Made<'a, Id> {
    id: Id,
    secret: &'a str,
}

#[derive(Serialize)]
struct Items<'a, Item> {
    items: &'a [Item],
}

impl Answer {
    fn calm(json: String, text: String) -> Self {
        Self { json, text, alarming: false }
    }

    /// The same, which shows that something is wrong.
    pub fn alarming_if(self, alarming: bool) -> Self {
        Self { alarming, ..self }
    }

    /// How the process ends that prints it.
    pub fn exit_code(&self) -> ExitCode {
        if self.alarming { ExitCode::from(FOUND_WRONG) } else { ExitCode::SUCCESS }
    }

    /// Something was done to `id`.
    pub fn done(id: impl Serialize, text: String) -> Self {
        Self::calm(json(&Done { id }), text)
    }

    /// Something was done to a number.
    pub fn done_to(phone: &PhoneNumber, what: &str) -> Self {
        let number = format!("+{}", phone.digits());
        Self::done(&number, format!("{number} {what}"))
    }

    /// `id` was made, with a secret that is shown this once.
    pub fn made(id: impl Serialize, secret: &str, what: &str) -> Self {
        let text = format!("{what}. Its secret is shown only this once:\n{secret}");
        Self::calm(json(&Made { id, secret }), text)
    }

    /// Everything about one thing.
    pub fn whole(thing: &impl Serialize, text: String) -> Self {
        Self::calm(json(thing), text)
    }

    /// A list; for people a table under `heads`, with one cell for each of them.
    pub fn list<Item: Serialize, const N: usize>(
        items: &[Item],
        heads: [&str; N],
        cells: impl Fn(&Item) -> [String; N],
    ) -> Self {
        let rows: Vec<[String; N]> = items.iter().map(cells).collect();
        let text = if rows.is_empty() {
            "none".to_owned()
        } else {
            table(&[&[heads.map(str::to_owned)], &rows[..]].concat())
        };
        Self::calm(json(&Items { items }), text)
    }

    /// What to print, without a line end.
    pub fn render(self, as_json: bool) -> String {
        if as_json { self.json } else { self.text }
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("structs of strings, numbers, times and JSON always serialise")
}

/// Lines of cells, each column as wide as its widest cell.
pub fn table<const N: usize>(lines: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for (column, width) in widths.iter_mut().enumerate() {
        *width = lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default();
    }
    let mut text = String::new();
    for line in lines {
        let mut shown = String::new();
        for (cell, width) in line.iter().zip(widths) {
            let _ = write!(shown, "{cell:width$}  ");
        }
        text.push_str(shown.trim_end());
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text
}

/// A cell of something that may be absent.
pub fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::Answer;

    #[test]
    fn machines_get_one_object() {
        assert_eq!(Answer::done(7, "done".into()).render(true), r#"{"id":7}"#);
        assert_eq!(Answer::made("a", "s3", "made").render(true), r#"{"id":"a","secret":"s3"}"#);
        let list = Answer::list(&[1, 2], ["number"], |number| [number.to_string()]);
        assert_eq!(list.render(true), r#"{"items":[1,2]}"#);
    }

    #[test]
    fn people_get_a_table() {
        let list = Answer::list(&[("a", 1), ("long", 22)], ["name", "n"], |(name, number)| {
            [(*name).to_owned(), number.to_string()]
        });
        assert_eq!(list.render(false), "name  n\na     1\nlong  22");
        let empty = Answer::list(&[0; 0], ["n"], |_| [String::new()]);
        assert_eq!(empty.render(false), "none");
    }
}
