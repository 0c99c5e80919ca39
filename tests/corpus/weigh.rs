//! Fits the points of phrases to the open part of the corpus, and writes them to `src/domain/rules/wording.toml`:
//! `cargo run --release --example weigh`. With `--check` nothing is written: the texts are judged by points that were
//! fitted without them.
//!
//! The points are those of a linear classifier (a support vector machine with squared hinge loss, by dual coordinate
//! descent: Hsieh et al., 2008). The phrases are the words and pairs of words that occur in enough texts; rare ones say
//! more, so they weigh more from the start (inverse document frequency).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use gatepost::domain::fold::fold;
use gatepost::domain::rules::Vocabulary;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use serde_json::Value;

/// Phrases of fewer texts are left out.
const FEWEST_TEXTS: usize = 3;
/// So many phrases are kept, those that decide most.
const MOST_PHRASES: usize = 12000;
/// The cost of an error against that of large weights.
const COST: f64 = 0.3;
/// What is learnt from a false stop counts so much more than from a miss.
const FALSE_STOP: f64 = 2.0;
/// Times that each text is gone through.
const ROUNDS: usize = 60;
/// Parts the texts are judged in.
const FOLDS: usize = 8;
/// Makes weights into points.
const POINTS: f64 = 100.0;

struct Message {
    text: String,
    unwanted: bool,
    purpose: String,
    file: String,
}

/// A text as the fit sees it: its phrases, each with its value.
type Row = Vec<(usize, f64)>;

fn main() {
    let messages = messages();
    let unwanted = messages.iter().filter(|message| message.unwanted).count();
    eprintln!("{} texts, {unwanted} of them unwanted", messages.len());
    if std::env::args().any(|argument| argument == "--check") {
        check(&messages);
        return;
    }
    let all: Vec<&Message> = messages.iter().collect();
    let fitted = Fitted::of(&all);
    eprintln!("{} phrases, decided at {:.0}", fitted.weights.len(), -fitted.bias * POINTS);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/domain/rules/wording.toml");
    std::fs::write(path, fitted.file()).expect("the file can be written");
}

/// All texts of the open part.
fn messages() -> Vec<Message> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut files: Vec<PathBuf> = Vec::new();
    for part in ["seen", "practice"] {
        let folder = std::fs::read_dir(corpus.join(part)).expect("a folder");
        files.extend(folder.map(|file| file.expect("a file").path()));
    }
    files.sort();
    let mut messages = Vec::new();
    for file in files {
        let name = file.strip_prefix(&corpus).expect("below").display().to_string();
        for line in std::fs::read_to_string(&file).expect("text").lines() {
            let message: Value = serde_json::from_str(line).expect("an object a line");
            messages.push(Message {
                text: message["text"].as_str().expect("a text").to_owned(),
                unwanted: message["label"] == "unwanted",
                purpose: message["purpose"].as_str().expect("a purpose").to_owned(),
                file: name.clone(),
            });
        }
    }
    messages
}

/// Phrases with their weights.
struct Fitted {
    weights: Vec<(String, f64)>,
    bias: f64,
}

impl Fitted {
    fn of(messages: &[&Message]) -> Self {
        let labels: Vec<bool> = messages.iter().map(|message| message.unwanted).collect();
        let mut phrases = candidates(messages);
        let mut rows = Vec::new();
        let (mut weights, mut bias) = (Vec::new(), 0.0);
        // Twice: the second time with the phrases that decided most in the first.
        for most in [usize::MAX, MOST_PHRASES] {
            if !weights.is_empty() {
                phrases = decisive(&phrases, &weights, &rows, most);
            }
            (phrases, rows) = seen(messages, &phrases);
            (weights, bias) = descend(&rows, &labels, phrases.len());
        }
        let rarity = rarity(&rows_count(&rows, phrases.len()), messages.len());
        let weights = weights.iter().zip(&rarity).map(|(weight, rarity)| weight * rarity);
        Self { weights: phrases.into_iter().zip(weights).collect(), bias }
    }

    fn points(&self) -> impl Iterator<Item = (i32, &str)> {
        let points =
            self.weights.iter().map(|(phrase, weight)| ((weight * POINTS).round() as i32, &phrase[..]));
        points.filter(|(points, _)| *points != 0)
    }

    /// The points of texts.
    fn judge(&self, messages: &[&Message]) -> Vec<f64> {
        let mut vocabulary = Vocabulary::default();
        let mut weights = HashMap::new();
        for (points, phrase) in self.points() {
            let id = vocabulary.add(phrase).expect("it was added before");
            weights.insert(id, f64::from(points));
        }
        let judge = |message: &&Message| {
            let found = vocabulary.find(&message.text);
            found.phrases.iter().filter_map(|id| weights.get(id)).sum::<f64>() / found.scale
        };
        messages.iter().map(judge).collect()
    }

    fn file(&self) -> String {
        let mut groups: BTreeMap<i32, BTreeSet<&str>> = BTreeMap::new();
        for (points, phrase) in self.points() {
            groups.entry(points).or_default().insert(phrase);
        }
        let mut file = String::from(
            "# How much phrases speak for an unwanted message, or against it. Fitted to tests/corpus/seen and practice by\n\
             # `cargo run --release --example weigh`; not written by hand.\n",
        );
        for (points, phrases) in groups.iter().rev() {
            let phrases: Vec<_> = phrases.iter().map(|phrase| format!("\"{phrase}\"")).collect();
            let _ = write!(file, "\n[[wording]]\npoints = {points}\nphrases = [\n");
            let mut line = String::from("   ");
            for phrase in phrases {
                if line.len() + phrase.len() > 116 {
                    file.push_str(&line);
                    line = String::from("\n   ");
                }
                let _ = write!(line, " {phrase},");
            }
            let _ = writeln!(file, "{line}\n]");
        }
        file
    }
}

/// Words and pairs of words that occur in enough texts, as they are written most often.
fn candidates(messages: &[&Message]) -> Vec<String> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for message in messages {
        let words = words(&message.text);
        let pairs = words.windows(2).map(|pair| match &pair[0][..] {
            "." => format!(".{}", pair[1]),
            first => format!("{first} {}", pair[1]),
        });
        let phrases: BTreeSet<String> = words.iter().cloned().chain(pairs).collect();
        for phrase in phrases.into_iter().filter(|phrase| !phrase.ends_with('.')) {
            *counts.entry(phrase).or_default() += 1;
        }
    }
    let mut counts: Vec<_> = counts.into_iter().filter(|(_, count)| *count > 1).collect();
    counts.sort_by(|(a, more), (b, less)| less.cmp(more).then(a.cmp(b)));
    counts.into_iter().map(|(phrase, _)| phrase).collect()
}

/// The words of a text as they are written, folded; numbers as 9.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for chunk in text.split_whitespace() {
        let mut pieces =
            chunk.split(|c: char| c.is_ascii_punctuation() && !"'%$@.".contains(c) || "،؛؟…–—·".contains(c));
        let piece = |piece: &str| {
            for (at, part) in piece.split('.').enumerate() {
                if at > 0 && !part.is_empty() {
                    words.push(".".to_owned());
                }
                let word = fold(part);
                let number =
                    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit() || byte == b' ');
                if part.contains('$') || part.contains('€') || part.contains('£') {
                    words.push("$".to_owned());
                }
                match word {
                    _ if number => words.push("9".to_owned()),
                    word if word.is_empty() => {}
                    word => words.extend(word.split(' ').map(str::to_owned)),
                }
                if part.contains('%') || part.contains('٪') {
                    words.push("%".to_owned());
                }
            }
        };
        pieces.by_ref().for_each(piece);
    }
    words
}

/// The phrases that the rules tell apart and find in enough texts, and what they find in each text.
fn seen(messages: &[&Message], phrases: &[String]) -> (Vec<String>, Vec<Row>) {
    let mut kept: Vec<String> = phrases.to_vec();
    loop {
        let mut vocabulary = Vocabulary::default();
        let mut ids: HashMap<u32, usize> = HashMap::new();
        let mut distinct = Vec::new();
        for phrase in kept {
            if let Some(id) = vocabulary.add(&phrase)
                && !ids.contains_key(&id)
            {
                ids.insert(id, distinct.len());
                distinct.push(phrase);
            }
        }
        let found: Vec<_> = messages.iter().map(|message| vocabulary.find(&message.text)).collect();
        let mut counts = vec![0; distinct.len()];
        found
            .iter()
            .flat_map(|found| &found.phrases)
            .filter_map(|id| ids.get(id))
            .for_each(|at| counts[*at] += 1);
        if counts.iter().all(|count| *count >= FEWEST_TEXTS) {
            let rarity = rarity(&counts, messages.len());
            let row = |found: &gatepost::domain::rules::Found| -> Row {
                let phrases = found.phrases.iter().filter_map(|id| ids.get(id));
                phrases.map(|at| (*at, rarity[*at] / found.scale)).collect()
            };
            return (distinct, found.iter().map(row).collect());
        }
        let enough = distinct.into_iter().zip(counts).filter(|(_, count)| *count >= FEWEST_TEXTS);
        kept = enough.map(|(phrase, _)| phrase).collect();
    }
}

fn rows_count(rows: &[Row], phrases: usize) -> Vec<usize> {
    let mut counts = vec![0; phrases];
    rows.iter().flatten().for_each(|(at, _)| counts[*at] += 1);
    counts
}

/// The value of each phrase in a text of one word, by the number of texts it occurs in.
fn rarity(counts: &[usize], texts: usize) -> Vec<f64> {
    let rarity = |count: &usize| (((texts + 1) as f64 / (count + 1) as f64).ln() + 1.0) / 6.0;
    counts.iter().map(rarity).collect()
}

/// The phrases that moved the texts most.
fn decisive(phrases: &[String], weights: &[f64], rows: &[Row], most: usize) -> Vec<String> {
    let mut moved = vec![0.0; phrases.len()];
    for (at, value) in rows.iter().flatten() {
        moved[*at] += (weights[*at] * value).powi(2);
    }
    let mut order: Vec<usize> = (0..phrases.len()).collect();
    order.sort_by(|a, b| moved[*b].total_cmp(&moved[*a]));
    order.into_iter().take(most).map(|at| phrases[at].clone()).collect()
}

/// The weights of the phrases, and the bias.
fn descend(rows: &[Row], unwanted: &[bool], phrases: usize) -> (Vec<f64>, f64) {
    let mut random = SmallRng::seed_from_u64(1);
    let (mut weights, mut bias) = (vec![0.0; phrases], 0.0);
    let mut duals = vec![0.0_f64; rows.len()];
    let diagonals: Vec<f64> =
        unwanted.iter().map(|unwanted| 0.5 / (COST * if *unwanted { 1.0 } else { FALSE_STOP })).collect();
    let norms: Vec<f64> =
        rows.iter().map(|row| 1.0 + row.iter().map(|(_, value)| value * value).sum::<f64>()).collect();
    let mut order: Vec<usize> = (0..rows.len()).collect();
    for _ in 0..ROUNDS {
        order.shuffle(&mut random);
        for &at in &order {
            let sign = if unwanted[at] { 1.0 } else { -1.0 };
            let sum = bias + rows[at].iter().map(|(phrase, value)| weights[*phrase] * value).sum::<f64>();
            let gradient = sign * sum - 1.0 + diagonals[at] * duals[at];
            let new = (duals[at] - gradient / (norms[at] + diagonals[at])).max(0.0);
            let step = (new - duals[at]) * sign;
            if step != 0.0 {
                duals[at] = new;
                bias += step;
                rows[at].iter().for_each(|(phrase, value)| weights[*phrase] += step * value);
            }
        }
    }
    (weights, bias)
}

/// Judges each text by points that were fitted without it, and says how many are stopped at which bound.
fn check(messages: &[Message]) {
    let mut random = SmallRng::seed_from_u64(2);
    let folds: Vec<usize> = messages.iter().map(|_| random.random_range(0..FOLDS)).collect();
    let mut judged: Vec<(f64, &Message)> = Vec::new();
    for fold in 0..FOLDS {
        let part = |inside: bool| {
            let of = messages.iter().zip(&folds).filter(move |(_, part)| (**part == fold) == inside);
            of.map(|(message, _)| message).collect::<Vec<_>>()
        };
        let fitted = Fitted::of(&part(false));
        let inside = part(true);
        judged.extend(fitted.judge(&inside).into_iter().zip(inside));
    }
    judged.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    for purposes in [&["transactional", "operational", "support"][..], &["internal_team", "authentication"]] {
        let judged = judged.iter().filter(|(_, message)| purposes.contains(&&message.purpose[..]));
        report(
            &purposes.join(", "),
            &judged.map(|(points, message)| (*points, *message)).collect::<Vec<_>>(),
        );
    }
}

/// Says how many are stopped at which bound. The texts are sorted by their points.
fn report(title: &str, judged: &[(f64, &Message)]) {
    let files: BTreeSet<&str> = judged.iter().map(|(_, message)| &message.file[..]).collect();
    let ordinary: Vec<f64> =
        judged.iter().filter(|(_, message)| !message.unwanted).map(|(points, _)| *points).collect();
    for per_mille in [2, 5, 10, 20, 30] {
        let bound = ordinary[ordinary.len() * per_mille / 1000];
        eprintln!("{title}: {per_mille} of 1000 ordinary ones are beyond {bound:.0}");
        for file in &files {
            let of = || judged.iter().filter(|(_, message)| message.file == *file);
            let stopped = of().filter(|(points, _)| *points > bound).count();
            eprintln!("  {file}: {stopped} of {}", of().count());
        }
    }
}
