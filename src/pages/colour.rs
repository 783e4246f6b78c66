//! Colours as settings give them, and whether they can be read (WCAG 2.2).

/// A colour of CSS, as `#1f7a4d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour([u8; 3]);

impl Colour {
    /// A colour in hexadecimal with six digits; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6 && digits.is_ascii())?;
        let part = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok().filter(|_| !digits.contains('+'));
        Some(Self([part(0)?, part(2)?, part(4)?]))
    }

    /// The relative luminance of WCAG 2.2: 0 is black, 1 is white.
    fn luminance(self) -> f64 {
        let linear = |part: u8| {
            let part = f64::from(part) / 255.0;
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        };
        let [red, green, blue] = self.0.map(linear);
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }
}

impl std::fmt::Display for Colour {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [red, green, blue] = self.0;
        write!(formatter, "#{red:02x}{green:02x}{blue:02x}")
    }
}

/// The contrast ratio of two colours, between 1 and 21. Text needs 4.5 (WCAG 2.2, success criterion 1.4.3).
pub fn contrast(one: Colour, other: Colour) -> f64 {
    let (one, other) = (one.luminance(), other.luminance());
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_has_six_digits() {
        assert_eq!(Colour::parse("#1F7a4D").unwrap().to_string(), "#1f7a4d");
        for text in ["", "#", "1f7a4d", "#1f7", "#1f7a4d0", "red", "#+1+1+1", "#1f7a4g", "#€€", "#1f7a4d;}body{}"] {
            assert_eq!(Colour::parse(text), None, "{text}");
        }
    }

    #[test]
    fn black_on_white_has_the_most_contrast() {
        let colour = |text| Colour::parse(text).unwrap();
        assert!((contrast(colour("#000000"), colour("#ffffff")) - 21.0).abs() < 1e-9);
        assert!((contrast(colour("#777777"), colour("#ffffff")) - 4.48).abs() < 0.01);
        assert!((contrast(colour("#123456"), colour("#123456")) - 1.0).abs() < 1e-9);
    }
}
