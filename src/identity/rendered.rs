//! The header lines of a grant, each set rendered once.

use std::sync::{Arc, OnceLock};

use super::{Claimant, HeaderSet, IdentityHeaders};

/// The header lines of one grant by set. Each set is rendered when it is first asked for, because few users use all routes.
#[derive(Debug, Default)]
pub struct RenderedHeaders(OnceLock<Box<Rendered>>);

#[derive(Debug)]
struct Rendered {
    set: Arc<HeaderSet>,
    headers: IdentityHeaders,
    others: RenderedHeaders,
}

impl Clone for RenderedHeaders {
    /// Nothing is rendered: a copy of a grant is made to be given other tokens.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl RenderedHeaders {
    /// Returns the lines of `set`, for `claimant`, which must be the same one each time.
    pub fn of(&self, set: &Arc<HeaderSet>, claimant: Claimant<'_>) -> IdentityHeaders {
        let mut slot = self;
        loop {
            let rendered = slot.0.get_or_init(|| {
                let headers = set.render(claimant);
                Box::new(Rendered { set: Arc::clone(set), headers, others: Self::default() })
            });
            if Arc::ptr_eq(&rendered.set, set) {
                return rendered.headers.clone();
            }
            slot = &rendered.others;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Identity, PRESETS};

    #[test]
    fn each_set_is_rendered_once_and_found_again() {
        let sets: Vec<_> = PRESETS.iter().map(|preset| Arc::new(preset.header_set())).collect();
        let identity = Identity { subject: "s".into(), username: Some("ann".into()), ..Identity::default() };
        let claimant = Claimant { identity: &identity, access_token: None, id_token: None };
        let rendered = RenderedHeaders::default();
        let lines = |headers: &IdentityHeaders| headers.iter().cloned().collect::<Vec<_>>();
        let first: Vec<_> = sets.iter().map(|set| rendered.of(set, claimant)).collect();
        let nobody = Identity::default();
        let again = Claimant { identity: &nobody, ..claimant };
        for (set, first) in sets.iter().zip(&first) {
            assert_eq!(lines(&rendered.of(set, again)), lines(first), "not rendered again");
        }
        assert!(first.iter().any(|headers| headers.iter().count() > 1));
        let copied = rendered.clone();
        assert_ne!(lines(&copied.of(&sets[0], again)), lines(&first[0]), "a copy of a grant may have other tokens and claims");
        assert_eq!(lines(&rendered.of(&sets[0], again)), lines(&first[0]));
    }
}
