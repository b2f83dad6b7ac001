//! The sites of the planted bugs.

/// Whether this bug is planted. `false` in a build without the feature `planted`, where neither the
/// name of the bug nor the condition is compiled.
///
/// The condition is what has to hold for the bug to act: each time it does, the bug strikes.
macro_rules! planted {
    ($bug:ident) => {
        planted!($bug, true)
    };
    ($bug:ident, $($condition:tt)+) => {{
        #[cfg(feature = "planted")]
        {
            const SITE: &str = concat!("planted-site:", stringify!($bug), ";");
            ($($condition)+) && $crate::planted::strikes($crate::planted::Bug::$bug, SITE)
        }
        #[cfg(not(feature = "planted"))]
        {
            false
        }
    }};
}
