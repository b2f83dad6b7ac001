//! Reading what a line does.

use super::call::{Call, Close, Finish, Input, Plan, Reading, Route};
use super::fault::Fault;
use super::form::{Form, Way};
use super::line::{Deed, Operation};
use super::parse::ScriptError;
use super::words::{BYTE, NAME, NODES, SHIFT, SIZE, TIME, Table, U32, U64, Words};
use crate::world::{Damage, Death, DialFate};

pub(super) const FINISHES: &Table<Finish> = &[
    ("ok", Finish::Ok),
    ("error", Finish::Error),
    ("panic", Finish::Panic),
    ("never", Finish::Never),
];

pub(super) const CLOSES: &Table<Close> =
    &[("eof", Close::Eof), ("drop", Close::Drop), ("never", Close::Never)];

pub(super) const DEATHS: &Table<Death> =
    &[("closed", Death::Closed), ("reset", Death::Reset), ("silent", Death::Silent)];

/// How to read the rest of a line, by its first word.
type Reader = fn(&mut Words<'_>) -> Result<Deed, ScriptError>;

const DEEDS: &Table<Reader> = &[
    ("call", |words| Ok(Deed::Call(call(words)?))),
    ("cancel", |words| Ok(Deed::Cancel(words.next(&NAME)?))),
    ("reset", |words| {
        let (one, other) = (words.node()?, words.node()?);
        let late = words.field("late", &TIME)?.unwrap_or_default();
        Ok(Deed::Fault(Fault::Reset { one, other, late }))
    }),
    ("damage", |words| {
        let (from, to) = words.way()?;
        Ok(Deed::Fault(Fault::Damage { from, to, damage: damage(words)? }))
    }),
    ("stall", |words| {
        let (from, to) = words.way()?;
        Ok(Deed::Fault(Fault::Stall { from, to, lasts: words.need("lasts", &TIME)? }))
    }),
    ("partition", |words| {
        let group = words.next(&NODES)?;
        group.iter().try_for_each(|node| words.checked(*node).map(drop))?;
        let one_way = words.flag("one-way");
        Ok(Deed::Fault(Fault::Partition { group, lasts: words.need("lasts", &TIME)?, one_way }))
    }),
    ("dial", |words| {
        let (from, to, fate) = (words.node()?, words.node()?, fate(words)?);
        Ok(Deed::Fault(Fault::Dial { from, to, fate, lasts: words.need("lasts", &TIME)? }))
    }),
    ("squeeze", |words| {
        let (from, to) = words.way()?;
        let (rate, lasts) = (words.need("rate", &U64)?, words.need("lasts", &TIME)?);
        Ok(Deed::Fault(Fault::Squeeze { from, to, rate, lasts }))
    }),
    ("narrow", |words| {
        let (from, to) = words.way()?;
        let (rate, buffer) = (words.need("rate", &U64)?, words.need("buffer", &U64)?);
        Ok(Deed::Fault(Fault::Narrow {
            from,
            to,
            rate,
            buffer,
            lasts: words.need("lasts", &TIME)?,
        }))
    }),
    ("outage", |words| {
        let (one, other) = (words.node()?, words.node()?);
        Ok(Deed::Fault(Fault::Outage { one, other, lasts: words.need("lasts", &TIME)? }))
    }),
    ("crash", |words| {
        let node = words.node()?;
        let how = DEATHS.iter().find(|(word, _)| words.flag(word)).map(|(_, how)| *how);
        let back = words.field("back", &TIME)?;
        Ok(Deed::Fault(Fault::Crash { node, how: how.unwrap_or_default(), back }))
    }),
    ("pause", |words| {
        let (node, lasts) = (words.node()?, words.need("lasts", &TIME)?);
        Ok(Deed::Fault(Fault::Pause { node, lasts }))
    }),
    ("jump", |words| {
        let (node, ahead) = (words.node()?, words.need("ahead", &TIME)?);
        Ok(Deed::Fault(Fault::Jump { node, ahead }))
    }),
    ("skew", |words| {
        let (node, by) = (words.node()?, words.need("by", &SHIFT)?);
        Ok(Deed::Fault(Fault::Skew { node, by }))
    }),
    ("rate", |words| {
        let (node, rate) = (words.node()?, words.need("millionths", &U64)?);
        Ok(Deed::Fault(Fault::Rate { node, rate, lasts: words.need("lasts", &TIME)? }))
    }),
    ("shutdown", |words| {
        let (node, grace) = (words.node()?, words.need("grace", &TIME)?);
        let back = words.field("back", &TIME)?;
        Ok(Deed::Fault(Fault::Shutdown { node, grace, back }))
    }),
    ("twin", |words| {
        let (node, lasts) = (words.node()?, words.need("lasts", &TIME)?);
        Ok(Deed::Fault(Fault::Twin { node, lasts }))
    }),
    ("panic", |words| {
        let (node, peer) = (words.node()?, words.node()?);
        Ok(Deed::Fault(Fault::Panic { node, peer, using: words.flag("using") }))
    }),
    ("remove", |words| {
        let (node, peer) = (words.node()?, words.node()?);
        Ok(Deed::Fault(Fault::Remove { node, peer, lasts: words.need("lasts", &TIME)? }))
    }),
    ("do", |words| {
        let (name, node) = (words.operation()?.into(), words.node()?);
        Ok(Deed::Do(Operation { name, node, arguments: words.pairs()? }))
    }),
];

/// What a line at a time does.
pub(super) fn deed(words: &mut Words<'_>) -> Result<Deed, ScriptError> {
    let read = words.choose("a deed", DEEDS)?;
    let deed = read(words)?;
    words.end()?;
    Ok(deed)
}

/// What a line at a point of this way does: damage needs no way of its own there.
pub(super) fn deed_on(words: &mut Words<'_>, way: (usize, usize)) -> Result<Deed, ScriptError> {
    if !words.is_damage() {
        return deed(words);
    }
    let damage = damage(words)?;
    words.end()?;
    Ok(Deed::Fault(Fault::Damage { from: way.0, to: way.1, damage }))
}

const DAMAGE: &str = "damage: reset, end, silence, flip=0x20, drop=5, insert=5 or stall=2s";

impl Words<'_> {
    /// Whether the rest of the line is damage and nothing else. `reset n0 n1` is another deed.
    fn is_damage(&self) -> bool {
        let word = self.peek().unwrap_or_default();
        let is_key = |key: &str| ["flip", "drop", "insert", "stall"].contains(&key);
        match word {
            "reset" => self.is_last(),
            "end" | "silence" => true,
            _ => word.split_once('=').is_some_and(|(key, _)| is_key(key)),
        }
    }
}

fn damage(words: &mut Words<'_>) -> Result<Damage, ScriptError> {
    let word = words.word(DAMAGE)?;
    let key = word.split_once('=').map_or("", |(key, _)| key);
    Ok(match (word, key) {
        ("reset", _) => Damage::Reset,
        ("end", _) => Damage::End,
        ("silence", _) => Damage::Silence,
        (_, "flip") => Damage::Flip(words.value(word, &BYTE)?),
        (_, "drop") => Damage::Remove(words.value(word, &U64)?),
        (_, "insert") => Damage::Insert(words.value(word, &U64)?),
        (_, "stall") => Damage::Stall(words.value(word, &TIME)?),
        _ => return Err(words.wrong(format!("`{word}` is not {DAMAGE}"))),
    })
}

fn fate(words: &mut Words<'_>) -> Result<DialFate, ScriptError> {
    if let Some(takes) = words.field("takes", &TIME)? {
        return Ok(DialFate::Takes(takes));
    }
    let table =
        [("works", DialFate::Works), ("refused", DialFate::Refused), ("hangs", DialFate::Hangs)];
    words.choose("the fate of a dial, takes=2s or one of", &table)
}

fn call(words: &mut Words<'_>) -> Result<Call, ScriptError> {
    let (name, from, to) = (words.next(&NAME)?, words.node()?, words.node()?);
    let routes = Route::ALL.map(|route| (route.word(), route));
    let calm = Call::new(name, from, to, words.choose("a route", &routes)?);
    let forms = Form::ALL.map(|form| (form.word(), form));
    let ways = Way::ALL.map(|way| (way.word(), way));
    let call = Call {
        form: words.field_of("as", &forms)?.unwrap_or_default(),
        way: words.field_of("by", &ways)?.unwrap_or_default(),
        size: words.field("size", &SIZE)?.unwrap_or(calm.size),
        timeout: words.field("timeout", &TIME)?,
        wait_link: words.field("wait-link", &TIME)?,
        again_after: words.field("again-after", &NAME)?,
        plan: Plan {
            after: words.field("after", &TIME)?.unwrap_or_default(),
            items: words.field("items", &U32)?.unwrap_or_default(),
            item_size: words.field("item-size", &U32)?.unwrap_or_default(),
            pace: words.field("pace", &TIME)?.unwrap_or_default(),
            take: words.field("take", &U32)?,
            take_pace: words.field("take-pace", &TIME)?.unwrap_or_default(),
            finish: words.field_of("finish", FINISHES)?.unwrap_or_default(),
        },
        input: Input {
            items: words.field("send", &U32)?.unwrap_or_default(),
            size: words.field("send-size", &U32)?.unwrap_or_default(),
            pace: words.field("send-pace", &TIME)?.unwrap_or_default(),
            close: words.field_of("close", CLOSES)?.unwrap_or_default(),
        },
        reading: Reading {
            after: words.field("read-after", &TIME)?.unwrap_or_default(),
            pace: words.field("read-pace", &TIME)?.unwrap_or_default(),
            stop: words.field("read-stop", &U32)?,
        },
        ..calm
    };
    if !call.is_possible() {
        let (form, way, route) = (call.form.word(), call.way.word(), call.route.word());
        return Err(words.wrong(format!("`{route}` does not go as={form} by={way}")));
    }
    Ok(call)
}
