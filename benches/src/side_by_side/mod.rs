//! Ours and others on the same work in the same run, in alternating rounds: where a machine puts
//! two threads is a hidden factor of up to two, and so only what was measured side by side compares.
//!
//! [`measure`] gives the [`Figures`]: a table, JSON and [pictures](plot).

mod beside_large;
mod contender;
mod figures;
pub mod plot;
mod rounds;

pub use self::beside_large::{BESIDE_LARGE, BesideLarge};
pub use self::contender::{Contender, Running};
pub use self::figures::{Figures, Row, Unit};
pub use self::rounds::{Settings, measure};
