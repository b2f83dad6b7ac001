//! In which types the payloads of a seed's calls travel, and by which functions of the handles.

use super::draw::Draw;
use crate::script::{Call, Form, NodeKind, Route, Script, Way};

/// What a seed favours.
pub(super) struct Manners {
    pub(super) forms: Vec<(u64, Form)>,
    pub(super) ways: Vec<(u64, Way)>,
}

impl Manners {
    pub(super) fn draw(draw: Draw) -> Self {
        let weight = |word: &str| draw.of(word).pick("weight", &[0, 1, 1, 3]);
        let form = |form: Form| match form {
            Form::Raw => (6, form),
            form => (weight(form.word()), form),
        };
        let way = |way: Way| match way {
            Way::Items => (4, way),
            way => (weight(way.word()), way),
        };
        Self { forms: Form::ALL.map(form).into(), ways: Way::ALL.map(way).into() }
    }

    /// Gives a call a form and a way that it can have. Only the applications of handles know
    /// where bytes that are written in any pieces end.
    pub(super) fn give(&self, own: Draw, script: &Script, call: &mut Call) {
        let form = own.weighted("form", &self.forms);
        let has_form = form != Form::Nothing || call.route == Route::Echo;
        call.form = if has_form { form } else { Form::Raw };
        if matches!(call.route, Route::Mistyped | Route::MistypedItems) {
            call.form = Form::Raw;
            return;
        }
        let way = own.weighted("way", &self.ways);
        let ours = [call.from, call.to].iter().all(|node| script.nodes[*node] == NodeKind::Ours);
        let has_way = way != Way::Bytes || ours && call.form.is_bytes();
        call.way = if has_way { way } else { Way::Items };
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::script::{Form, Way};
    use crate::swarm::{Profile, script};

    #[test]
    fn calls_have_all_forms_and_ways_and_most_the_plain_ones() {
        let mut counts = BTreeMap::<&str, usize>::new();
        let mut all = 0;
        for seed in 0..200 {
            let script = script(seed, Profile::Quick);
            for call in script.calls().filter(|call| call.name.starts_with('c')) {
                assert!(call.is_possible(), "{seed}: {call:?}");
                all += 1;
                *counts.entry(call.form.word()).or_default() += 1;
                *counts.entry(call.way.word()).or_default() += 1;
            }
        }
        for word in Form::ALL.map(Form::word).iter().chain(&Way::ALL.map(Way::word)) {
            assert!(counts.get(word).is_some_and(|count| *count > all / 200), "{word}: {counts:?}");
        }
        assert!(counts["raw"] * 3 > all && counts["items"] * 3 > all, "{counts:?}");
    }
}
