//! A peer that means harm.
pub(crate) struct Hostile { pub(super) here: super::Here }
impl Hostile { pub(super) fn start(here: super::Here, _: crate::script::Conduct, _: bool) -> Self { Self { here } } pub(super) fn call(&self, _: &crate::app::Witness, _: &crate::script::Call) {} }
