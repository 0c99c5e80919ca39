//! The words of a text, in two readings. Each word is bytes, one for a letter.
//!
//! A number is `#`, a percent sign `%`, a sign of money `$`, a dot inside a word `.`, each a word of its own. Arabic
//! letters are bytes above 0x80, all other letters `?`. Words lose what only their grammar adds (see [`stem`]).

use super::run::Run;
use super::stem::stem;
use super::word::Word;
use crate::domain::fold::{
    AT, CURRENCY, DOLLAR, DOT, LAST_SIGN, PERCENT, SPACE, STROKE, is_arabic, regional,
};

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_lowercase() || is_arabic(byte)
}

/// How a text is written.
#[derive(Clone, Copy, Default)]
pub(super) struct Writing {
    /// Something may hide words, such as digits or marks inside of them, single letters in a row, letters repeated: a
    /// second look is worth its time.
    pub(super) tricky: bool,
    /// The most single letters in a row.
    pub(super) spelled: u32,
}

/// Calls with each word of the text as it is written.
pub(super) fn plain(letters: &[u8], each: impl FnMut(Word<'_>)) -> Writing {
    let mut plain = Plain {
        each,
        kept: Vec::new(),
        last: 0,
        writing: Writing::default(),
        any: false,
        joined: false,
        singles: 0,
        mark: None,
    };
    let mut at = 0;
    while let Some(&letter) = letters.get(at) {
        if letter <= LAST_SIGN {
            plain.sign(letter, at > 0 && letters[at - 1] > LAST_SIGN);
            at += 1;
        } else {
            let run = Run::of(&letters[at..]);
            plain.run(letters, at, run);
            at += run.length;
        }
    }
    plain.writing
}

struct Plain<F> {
    each: F,
    /// What is left of a word when halves of flags are taken out of it.
    kept: Vec<u8>,
    /// The last letter of the word before, if it has any.
    last: u8,
    writing: Writing,
    /// There was a word.
    any: bool,
    /// The word before is a number, and only one mark stands between.
    joined: bool,
    /// So many words before have one letter.
    singles: u32,
    /// The mark that stands directly before.
    mark: Option<u8>,
}

impl<F: FnMut(Word<'_>)> Plain<F> {
    fn sign(&mut self, sign: u8, after_letter: bool) {
        match sign {
            SPACE => (self.joined, self.mark) = (false, None),
            PERCENT | CURRENCY | DOLLAR => {
                self.writing.tricky |= after_letter && is_letter(self.last);
                self.emit(if sign == PERCENT { b"%" } else { b"$" });
                (self.joined, self.mark) = (false, None);
            }
            mark => {
                self.joined &= self.mark.is_none();
                self.mark = Some(mark);
            }
        }
    }

    /// Reads what stands between two signs. Halves of flags are no part of the word.
    #[inline]
    fn run(&mut self, text: &[u8], from: usize, run: Run) {
        if run.flags {
            self.writing.tricky = true;
            let mut kept = std::mem::take(&mut self.kept);
            kept.clear();
            kept.extend(text[from..from + run.length].iter().filter(|letter| regional(**letter).is_none()));
            self.word(&kept, 0, Run::of(&kept));
            self.kept = kept;
        } else {
            self.word(text, from, run);
        }
    }

    #[inline]
    fn word(&mut self, text: &[u8], from: usize, run: Run) {
        let word = &text[from..from + run.length];
        self.last = word.last().copied().unwrap_or_default();
        let Some(first) = word.first() else { return };
        let tight = self.mark.is_some() && !first.is_ascii_digit();
        self.writing.tricky |= tight;
        if tight && self.mark == Some(DOT) && self.any {
            self.emit(b".");
        }
        self.singles = if run.length == 1 && !run.number { self.singles + 1 } else { 0 };
        self.writing.spelled = self.writing.spelled.max(self.singles);
        if run.number {
            if !self.joined {
                self.emit(b"#");
            }
        } else {
            self.writing.tricky |= run.repeated || run.digits;
            if run.digits {
                self.split_number(word);
            } else {
                let stem = stem(word);
                (self.each)(Word::within(text, from + stem.start..from + stem.end));
            }
        }
        self.writing.tricky |= self.singles > 1;
        (self.any, self.joined, self.mark) = (true, run.number, None);
    }

    fn emit(&mut self, sign: &[u8; 1]) {
        (self.each)(Word::of(sign));
        self.any = true;
    }

    /// `199sar` is `# sar`, `save40` is `save #`; a single digit may be a letter in disguise and stays.
    fn split_number(&mut self, word: &[u8]) {
        let leading = word.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let trailing = word.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
        let from = if leading >= 2 { leading } else { 0 };
        let to = word.len() - if trailing >= 2 { trailing } else { 0 };
        if from > 0 {
            (self.each)(Word::of(b"#"));
        }
        (self.each)(Word::within(word, from..to));
        if to < word.len() {
            (self.each)(Word::of(b"#"));
        }
    }
}

/// Calls with each word of the text with its disguises taken off: marks inside words removed, letters set apart joined,
/// digits and signs read as the letters they look like, repeated letters once. `l` and `i` are one letter here, because
/// `1`, `!` and `|` are both. With each word comes whether it was put together from single letters.
pub(super) fn unmasked(letters: &[u8], each: impl FnMut(Word<'_>, bool)) {
    let mut unmasked = Unmasked {
        each,
        word: Vec::with_capacity(64),
        token: Vec::with_capacity(64),
        run: Vec::new(),
        gap: 0,
        sign: None,
    };
    for &letter in letters {
        unmasked.letter(letter);
    }
    unmasked.end_token();
    unmasked.end_run();
}

struct Unmasked<F> {
    each: F,
    word: Vec<u8>,
    token: Vec<u8>,
    run: Vec<u8>,
    gap: usize,
    sign: Option<u8>,
}

impl<F: FnMut(Word<'_>, bool)> Unmasked<F> {
    #[inline]
    fn letter(&mut self, letter: u8) {
        match letter {
            SPACE => {
                self.end_token();
                self.gap += 1;
            }
            AT => self.sign = Some(b'a'),
            STROKE if !self.token.is_empty() => self.sign = Some(b'1'),
            DOLLAR => self.sign = Some(b's'),
            PERCENT | CURRENCY => {
                self.end_token();
                self.end_run();
                (self.each)(Word::of(if letter == PERCENT { b"%" } else { b"$" }), false);
            }
            0..=LAST_SIGN => {}
            letter => {
                let letter = regional(letter).unwrap_or(letter);
                match self.sign.take() {
                    Some(sign) if is_letter(letter) => self.token.push(sign),
                    Some(b's') => (self.each)(Word::of(b"$"), false),
                    _ => {}
                }
                self.token.push(letter);
            }
        }
    }

    fn end_token(&mut self) {
        self.sign = None;
        match self.token[..] {
            [] => return,
            [byte] if is_letter(byte) || !self.run.is_empty() => {
                if self.gap > 1 {
                    self.end_run();
                }
                self.run.push(byte);
            }
            _ => {
                self.end_run();
                let word = std::mem::take(&mut self.token);
                self.push(&word, false);
                self.token = word;
            }
        }
        self.token.clear();
        self.gap = 0;
    }

    fn end_run(&mut self) {
        if self.run.is_empty() {
            return;
        }
        let run = std::mem::take(&mut self.run);
        self.push(&run, true);
        self.run = run;
        self.run.clear();
    }

    fn push(&mut self, word: &[u8], spelled: bool) {
        let run = Run::of(word);
        if run.number {
            (self.each)(Word::of(b"#"), false);
            return;
        }
        if run.repeated {
            self.push_at_most(word, 2, spelled);
            self.push_at_most(word, 1, spelled);
        } else {
            self.word.clear();
            self.word.extend(word.iter().map(|letter| undigit(*letter)));
            self.emit(spelled);
        }
    }

    /// The word with no letter more than `most` times in a row.
    fn push_at_most(&mut self, word: &[u8], most: usize, spelled: bool) {
        self.word.clear();
        let (mut times, mut before) = (0, 0);
        for &letter in word {
            times = if letter == before { times + 1 } else { 1 };
            before = letter;
            if times <= most {
                self.word.push(undigit(letter));
            }
        }
        self.emit(spelled);
    }

    fn emit(&mut self, spelled: bool) {
        let stem = stem(&self.word);
        self.word[stem.clone()].iter_mut().for_each(|byte| *byte = look(*byte));
        (self.each)(Word::within(&self.word, stem), spelled);
    }
}

/// The letter a digit inside a word stands for.
fn undigit(byte: u8) -> u8 {
    match byte {
        b'0' => b'o',
        b'1' => b'l',
        b'3' => b'e',
        b'4' => b'a',
        b'5' => b's',
        b'7' => b't',
        b'8' => b'b',
        b'9' | b'6' => b'g',
        byte => byte,
    }
}

/// One byte for the letters that are one in [`unmasked`].
pub(super) fn look(byte: u8) -> u8 {
    match byte {
        b'l' => b'i',
        byte => byte,
    }
}
