//! The rules file: its format, and every check of it.

use std::collections::{BTreeMap, HashSet};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use regex::{Regex, RegexBuilder};
use serde::Deserialize;
use toml::Spanned;

use super::error::Place;
use super::lexicon::{LISTS, Lexicon};
use super::text::{Shape, TextRule};
use super::{Counter, CounterRule, Purposes, Rules, RulesError};
use crate::domain::purpose::Purpose;

/// What a compiled regular expression may take.
const REGEX_BYTES: usize = 1 << 20;
/// What a phrase may say about the wording.
const POINTS: RangeInclusive<i32> = -10_000..=10_000;
const NO_PHRASE: &str = "a phrase must be more than numbers and punctuation";
/// Stands for every purpose.
const ALL: &str = "all";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: Spanned<String>,
    #[serde(default)]
    phrases: BTreeMap<String, Spanned<Vec<Spanned<String>>>>,
    #[serde(default)]
    wording: Vec<WordingTable>,
    #[serde(default)]
    rule: Vec<Spanned<RuleTable>>,
}

/// Phrases that say as much about the wording as each other.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WordingTable {
    points: Spanned<i64>,
    phrases: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleTable {
    id: Spanned<String>,
    weight: Spanned<i64>,
    purposes: Spanned<Vec<Spanned<String>>>,
    #[serde(default)]
    all_of: Vec<Spanned<String>>,
    #[serde(default)]
    any_of: Vec<Spanned<String>>,
    #[serde(default)]
    unless: Vec<Spanned<String>>,
    phrases: Option<Spanned<Vec<Spanned<String>>>>,
    at_least: Option<Spanned<i64>>,
    regex: Option<Spanned<String>>,
    longer_than: Option<Spanned<i64>>,
    links: Option<Spanned<i64>>,
    capitals: Option<Spanned<i64>>,
    #[serde(default)]
    without_code: bool,
    wording: Option<Spanned<i64>>,
    spelled: Option<Spanned<i64>>,
    hidden: Option<Spanned<i64>>,
    counter: Option<Spanned<String>>,
    window: Option<Spanned<String>>,
}

/// Reads a rules file, up to the first fault.
pub(super) fn parse(text: &str) -> Result<Rules, RulesError> {
    let place = Place(text);
    let file: File = toml::from_str(text).map_err(|error| match error.span() {
        Some(span) => place.error(span.start, error.message().trim()),
        None => RulesError { line: None, rule: None, problem: error.message().trim().to_owned() },
    })?;
    if file.version.get_ref().trim().is_empty() {
        return Err(place.error(file.version.span().start, "version must not be empty"));
    }
    let mut reader = Reader { place, lists: BTreeMap::new(), lexicon: Lexicon::new() };
    for (name, phrases) in &file.phrases {
        let list = reader.list(phrases)?;
        reader.lists.insert(name.clone(), list);
    }
    for wording in &file.wording {
        reader.wording(wording)?;
    }
    let (mut texts, mut counters, mut ids) = (Vec::new(), Vec::new(), HashSet::new());
    for table in &file.rule {
        let rule = table.get_ref();
        if rule.id.get_ref().trim().is_empty() {
            return Err(place.error(rule.id.span().start, "id must not be empty"));
        }
        if !ids.insert(rule.id.get_ref().as_str()) {
            return Err(place.error(rule.id.span().start, "id is used by an earlier rule"));
        }
        if let Some(name) = &rule.counter {
            let new = reader.counter_rule(rule, name)?;
            reader.same_window(&new, &counters, name.span().start)?;
            counters.push(new);
        } else {
            texts.push(reader.text_rule(rule, table.span().start)?);
        }
    }
    Ok(Rules { version: file.version.into_inner(), lexicon: reader.lexicon, texts, counters })
}

struct Reader<'a> {
    place: Place<'a>,
    lists: BTreeMap<String, u8>,
    lexicon: Lexicon,
}

impl Reader<'_> {
    /// Adds a list of phrases, named or a rule's own.
    fn list(&mut self, phrases: &Spanned<Vec<Spanned<String>>>) -> Result<u8, RulesError> {
        let at = phrases.span().start;
        let list = self.lexicon.lists();
        if usize::from(list) == LISTS {
            return Err(self.place.error(at, format!("more than {LISTS} phrase lists")));
        }
        if phrases.get_ref().is_empty() {
            return Err(self.place.error(at, "the phrase list is empty"));
        }
        self.lexicon.next_list();
        for phrase in phrases.get_ref() {
            if !self.lexicon.add(list, phrase.get_ref()) {
                return Err(self.place.error(phrase.span().start, NO_PHRASE));
            }
        }
        Ok(list)
    }

    fn wording(&mut self, wording: &WordingTable) -> Result<(), RulesError> {
        let points = i32::try_from(*wording.points.get_ref()).ok().filter(|points| POINTS.contains(points));
        let Some(points) = points else {
            let problem = format!("points must be {} to {}", POINTS.start(), POINTS.end());
            return Err(self.place.error(wording.points.span().start, problem));
        };
        for phrase in &wording.phrases {
            if !self.lexicon.weigh(phrase.get_ref(), points) {
                return Err(self.place.error(phrase.span().start, NO_PHRASE));
            }
        }
        Ok(())
    }

    fn named(&self, name: &Spanned<String>) -> Result<u8, RulesError> {
        self.lists.get(name.get_ref()).copied().ok_or_else(|| {
            let problem = format!("there is no phrase list \"{}\"", name.get_ref());
            self.place.error(name.span().start, problem)
        })
    }

    fn all_named(&self, names: &[Spanned<String>]) -> Result<Vec<u8>, RulesError> {
        names.iter().map(|name| self.named(name)).collect()
    }

    fn bits(&self, names: &[Spanned<String>]) -> Result<u128, RulesError> {
        names.iter().try_fold(0, |bits, name| Ok(bits | 1 << self.named(name)?))
    }

    fn text_rule(&mut self, rule: &RuleTable, at: usize) -> Result<TextRule, RulesError> {
        let mut any_of = self.all_named(&rule.any_of)?;
        if let Some(phrases) = &rule.phrases {
            any_of.push(self.list(phrases)?);
        }
        if let Some(window) = &rule.window {
            return Err(self.place.error(window.span().start, "window belongs to a counter"));
        }
        if let (Some(count), true) = (&rule.at_least, any_of.is_empty()) {
            return Err(self
                .place
                .error(count.span().start, "at_least belongs to phrases, any_of or a counter"));
        }
        let shape = Shape {
            longer_than: self.within(rule.longer_than.as_ref(), "longer_than", 1, 65_536)?,
            links: self.within(rule.links.as_ref(), "links", 1, 1000)?,
            capitals: self.within(rule.capitals.as_ref(), "capitals", 1, 100)?,
            without_code: rule.without_code,
            wording: self.within(rule.wording.as_ref(), "wording", 1, 10_000)?,
            spelled: self.within(rule.spelled.as_ref(), "spelled", 2, 1000)?,
            hidden: self.within(rule.hidden.as_ref(), "hidden", 1, 1000)?,
        };
        if shape == Shape::default() && any_of.is_empty() && rule.all_of.is_empty() && rule.regex.is_none() {
            let problem = "no matcher: one of phrases, any_of, all_of, regex, wording, longer_than, links, \
                           capitals, spelled, hidden, without_code or counter is needed";
            return Err(self.place.error(at, problem));
        }
        let at_least = self.within(rule.at_least.as_ref(), "at_least", 1, 1000)?.unwrap_or(1);
        Ok(TextRule {
            rule: Arc::from(rule.id.get_ref().as_str()),
            weight: self.weight(rule)?,
            purposes: self.purposes(rule)?,
            all_of: self.bits(&rule.all_of)?,
            any_of,
            at_least: u16::try_from(at_least).unwrap_or(u16::MAX),
            unless: self.all_named(&rule.unless)?,
            shape,
            regex: rule.regex.as_ref().map(|regex| self.regex(regex)).transpose()?,
        })
    }

    fn counter_rule(&self, rule: &RuleTable, name: &Spanned<String>) -> Result<CounterRule, RulesError> {
        let at = name.span().start;
        let Some(counter) = Counter::parse(name.get_ref()) else {
            let known = Counter::ALL.map(Counter::as_str).join(", ");
            return Err(self.place.error(at, format!("unknown counter: one of {known} is meant")));
        };
        let others = !rule.all_of.is_empty() || !rule.any_of.is_empty() || !rule.unless.is_empty();
        let shapes =
            [&rule.wording, &rule.longer_than, &rule.links, &rule.capitals, &rule.spelled, &rule.hidden];
        let shaped = shapes.iter().any(|shape| shape.is_some());
        if others || shaped || rule.phrases.is_some() || rule.regex.is_some() || rule.without_code {
            return Err(self.place.error(at, "a counter has no other matcher beside it"));
        }
        let at_least = self.within(rule.at_least.as_ref(), "at_least", 1, 1000)?;
        let window = rule.window.as_ref().ok_or_else(|| self.place.error(at, "a counter needs a window"))?;
        let window = duration(window.get_ref()).ok_or_else(|| {
            self.place.error(window.span().start, "window must be 1s to 1d, such as \"10m\"")
        })?;
        Ok(CounterRule {
            rule: Arc::from(rule.id.get_ref().as_str()),
            counter,
            weight: self.weight(rule)?,
            purposes: self.purposes(rule)?,
            at_least: at_least.ok_or_else(|| self.place.error(at, "a counter needs at_least"))?,
            window,
        })
    }

    /// A counter keeps as many members as its largest threshold asks for, whatever their age: with windows of several
    /// lengths, old ones could keep new ones out.
    fn same_window(&self, new: &CounterRule, known: &[CounterRule], at: usize) -> Result<(), RulesError> {
        let other = known.iter().find(|rule| rule.counter == new.counter && rule.window != new.window);
        match other {
            None => Ok(()),
            Some(other) => {
                let problem = format!(
                    "another window than that of rule \"{}\", which has the same counter",
                    other.rule
                );
                Err(self.place.error(at, problem))
            }
        }
    }

    fn within(
        &self,
        value: Option<&Spanned<i64>>,
        name: &str,
        least: u32,
        most: u32,
    ) -> Result<Option<u32>, RulesError> {
        let Some(value) = value else { return Ok(None) };
        let known = u32::try_from(*value.get_ref()).ok().filter(|number| (least..=most).contains(number));
        known
            .map(Some)
            .ok_or_else(|| self.place.error(value.span().start, format!("{name} must be {least} to {most}")))
    }

    fn weight(&self, rule: &RuleTable) -> Result<u8, RulesError> {
        let weight = self.within(Some(&rule.weight), "weight", 1, 100)?;
        Ok(weight.and_then(|weight| u8::try_from(weight).ok()).unwrap_or_default())
    }

    fn purposes(&self, rule: &RuleTable) -> Result<Purposes, RulesError> {
        let mut purposes = Purposes::default();
        for name in rule.purposes.get_ref() {
            if name.get_ref() == ALL {
                Purpose::ALL.into_iter().for_each(|purpose| purposes.insert(purpose));
                continue;
            }
            let purpose = Purpose::parse(name.get_ref()).ok_or_else(|| {
                let known = Purpose::ALL.map(Purpose::as_str).join(", ");
                let problem = format!("unknown purpose: one of {known} or {ALL} is meant");
                self.place.error(name.span().start, problem)
            })?;
            purposes.insert(purpose);
        }
        if purposes.is_empty() {
            return Err(self.place.error(rule.purposes.span().start, "at least one purpose is needed"));
        }
        Ok(purposes)
    }

    fn regex(&self, regex: &Spanned<String>) -> Result<Regex, RulesError> {
        let at = regex.span().start;
        let built =
            RegexBuilder::new(regex.get_ref()).size_limit(REGEX_BYTES).dfa_size_limit(REGEX_BYTES).build();
        built.map_err(|error| {
            // The lines before the last draw an arrow, which is lost in a log.
            let error = error.to_string();
            let reason = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
            self.place.error(at, format!("the regular expression is no good: {reason}"))
        })
    }
}

/// `10m`: seconds, minutes, hours or a day.
fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = number.parse::<u64>().ok().filter(|_| digits)?.checked_mul(unit)?;
    (1..=86_400).contains(&seconds).then(|| Duration::from_secs(seconds))
}
