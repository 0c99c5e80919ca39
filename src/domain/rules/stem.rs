//! Words without what only their grammar adds. Phrases and texts are cut alike, so it matters little that a cut word is
//! not always one of the language; what matters is that its forms become one.

use std::ops::Range;

use crate::domain::fold;

const ALEF: u8 = 0xa7;
const BEH: u8 = 0xa8;
const TEH: u8 = 0xaa;
const AIN: u8 = 0xb9;
const FEH: u8 = 0xc1;
const KAF: u8 = 0xc3;
const LAM: u8 = 0xc4;
const MEEM: u8 = 0xc5;
const NOON: u8 = 0xc6;
const HEH: u8 = 0xc7;
const WAW: u8 = 0xc8;
const YEH: u8 = 0xca;

/// What remains of an Arabic word has at least this many letters.
const SHORTEST: usize = 3;
/// Joined to the front of an Arabic word without an article.
const PROCLITICS: [u8; 6] = [BEH, LAM, FEH, KAF, HEH, AIN];

/// What is left of a word. English loses a plural s, Arabic the article (with and, by, like, for before it) and up to two
/// endings.
#[inline]
pub(super) fn stem(word: &[u8]) -> Range<usize> {
    if is_arabic(word) {
        let from = article(word);
        return from..word.len() - ending(&word[from..]);
    }
    match word {
        [_, _, before, b's'] | [_, _, .., before, b's'] if !matches!(before, b's' | b'u' | b'i') => {
            0..word.len() - 1
        }
        word => 0..word.len(),
    }
}

/// Whether the word begins with an Arabic letter.
#[inline]
pub(super) fn is_arabic(word: &[u8]) -> bool {
    word.first().is_some_and(|letter| fold::is_arabic(*letter))
}

/// How many letters at the front are article and conjunctions.
fn article(word: &[u8]) -> usize {
    let and = usize::from(word[0] == WAW && word.len() > SHORTEST + 1);
    let rest = &word[and..];
    let cut = match rest {
        [BEH | KAF | FEH | HEH | AIN, ALEF, LAM, ..] => 3,
        [ALEF | LAM, LAM, ..] => 2,
        _ => 0,
    };
    if rest.len() >= cut + SHORTEST { and + cut } else { and }
}

/// How many letters at the end are pronouns and plurals.
fn ending(word: &[u8]) -> usize {
    let mut left = word;
    for _ in 0..2 {
        left = match left {
            [rest @ .., first, second] if rest.len() >= SHORTEST && is_ending(*first, *second) => rest,
            [rest @ .., HEH | YEH | ALEF | KAF] if rest.len() >= SHORTEST => rest,
            _ => break,
        };
    }
    word.len() - left.len()
}

/// Endings of two letters: pronouns and plurals.
fn is_ending(first: u8, second: u8) -> bool {
    matches!(
        (first, second),
        (HEH, ALEF | MEEM)
            | (KAF, MEEM | NOON)
            | (NOON, ALEF)
            | (ALEF, TEH)
            | (WAW, ALEF | NOON)
            | (YEH, NOON | HEH)
            | (TEH, HEH)
    )
}

/// How many letters of an Arabic word, none, one or two, are written joined to its front.
#[inline]
pub(super) fn joined(word: &[u8]) -> usize {
    match word {
        [WAW, second, ..] if PROCLITICS.contains(second) => 2,
        [first, ..] if *first == WAW || PROCLITICS.contains(first) => 1,
        _ => 0,
    }
}
