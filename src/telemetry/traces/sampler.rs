//! Which traces are exported (`OTEL_TRACES_SAMPLER`).

/// Decides by a trace's id and by what whoever sent the request decided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// `parentbased_…`: a request that belongs to a trace follows it.
    pub follows_parent: bool,
    /// How many of the others, from 0 to 1.
    pub ratio: f64,
}

/// Why there is no such sampler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SamplerError {
    /// It is none of the specification's, or one that Evergate does not have.
    #[error("there is no sampler of this name")]
    Name,
    /// Its argument is not a number from 0 to 1.
    #[error("the sampler's argument is no ratio from 0 to 1")]
    Ratio {
        /// Whether it is a sampler that follows the request's own trace.
        follows_parent: bool,
    },
}

impl Sampler {
    /// The sampler of this name and argument, as OpenTelemetry's specification of environment variables has them.
    ///
    /// # Errors
    /// The name is none of those, or the argument is no ratio.
    pub fn parse(name: &str, argument: Option<&str>) -> Result<Self, SamplerError> {
        let (follows_parent, own) = match name.strip_prefix("parentbased_") {
            Some(own) => (true, own),
            None => (false, name),
        };
        let ratio = match own {
            "always_on" => 1.0,
            "always_off" => 0.0,
            "traceidratio" => match argument.unwrap_or("1").parse::<f64>() {
                Ok(ratio) if (0.0..=1.0).contains(&ratio) => ratio,
                Ok(_) | Err(_) => return Err(SamplerError::Ratio { follows_parent }),
            },
            _ => return Err(SamplerError::Name),
        };
        Ok(Self { follows_parent, ratio })
    }

    /// Whether a trace is exported. `parent`: what whoever sent the request decided.
    pub fn samples(self, trace_id: u128, parent: Option<bool>) -> bool {
        if let Some(parent) = parent.filter(|_| self.follows_parent) {
            return parent;
        }
        // The same traces at every process that samples at this ratio: by 53 of the random bits of the id, which a float holds.
        #[expect(clippy::cast_precision_loss, reason = "53 bits are a float's")]
        let place = ((trace_id & ((1 << 53) - 1)) as f64) / ((1_u64 << 53) as f64);
        place < self.ratio
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samplers_are_those_of_the_specification() {
        for (name, argument, follows_parent, ratio) in [
            ("always_on", None, false, 1.0),
            ("always_off", Some("ignored"), false, 0.0),
            ("traceidratio", Some("0.25"), false, 0.25),
            ("traceidratio", None, false, 1.0),
            ("parentbased_always_on", None, true, 1.0),
            ("parentbased_always_off", None, true, 0.0),
            ("parentbased_traceidratio", Some("0.5"), true, 0.5),
        ] {
            assert_eq!(Sampler::parse(name, argument), Ok(Sampler { follows_parent, ratio }), "{name}");
        }
        for (name, argument) in
            [("", None), ("xray", None), ("parentbased_", None), ("traceidratio", Some("2")), ("traceidratio", Some("NaN"))]
        {
            assert!(Sampler::parse(name, argument).is_err(), "{name} {argument:?}");
        }
    }

    #[test]
    fn a_trace_follows_its_parent_and_else_its_own_id() {
        let quarter = Sampler { follows_parent: true, ratio: 0.25 };
        assert!(quarter.samples(u128::MAX, Some(true)) && !quarter.samples(1, Some(false)));
        let alone = Sampler { follows_parent: false, ..quarter };
        assert!(!alone.samples(u128::MAX, Some(true)) && alone.samples(1, Some(false)));
        let spread = (0..4000_u128).map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
        let sampled = spread.filter(|id| quarter.samples(*id, None)).count();
        assert!((900..1100).contains(&sampled), "{sampled}");
        let (all, none) = (Sampler { ratio: 1.0, ..quarter }, Sampler { ratio: 0.0, ..quarter });
        assert!(all.samples(u128::MAX, None) && !none.samples(0, None));
    }
}
