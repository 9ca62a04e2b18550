//! Return labels: one page of PDF, four inches by six, as label printers take it.

use pdf_writer::{Content, Finish, Name, Pdf, Rect, Ref, Str};

/// What stands on a label.
pub struct Label {
    /// The shop's id of the return. Its first group is in the bars, too.
    pub return_id: String,
    /// The order it is of.
    pub order_id: String,
    /// How it is sent.
    pub method: String,
    /// The last day, `YYYY-MM-DD`.
    pub return_by: String,
    /// Who sends it, in lines.
    pub from: Vec<String>,
}

/// Where the shop takes things back.
const WAREHOUSE: [&str; 4] = ["Sandbox Returns", "1 Sandbox Way", "Dover DE 19901", "US"];

/// In points, of which an inch has 72.
const WIDTH: f32 = 288.0;
const HEIGHT: f32 = 432.0;
const MARGIN: f32 = 20.0;
const SMALL: f32 = 9.0;
const LARGE: f32 = 14.0;
const BAR_HEIGHT: f32 = 60.0;
const NARROW: f32 = 1.4;
const WIDE: f32 = 3.5;

const CATALOGUE: Ref = Ref::new(1);
const PAGES: Ref = Ref::new(2);
const PAGE: Ref = Ref::new(3);
const FONT: Ref = Ref::new(4);
const TEXT: Ref = Ref::new(5);
const FONT_NAME: Name = Name(b"F1");

/// The label as a file.
pub fn pdf(label: &Label) -> Vec<u8> {
    let mut pdf = Pdf::new();
    pdf.catalog(CATALOGUE).pages(PAGES);
    pdf.pages(PAGES).kids([PAGE]).count(1);
    let mut page = pdf.page(PAGE);
    page.media_box(Rect::new(0.0, 0.0, WIDTH, HEIGHT)).parent(PAGES).contents(TEXT);
    page.resources().fonts().pair(FONT_NAME, FONT);
    page.finish();
    // One of the fonts that every reader has.
    pdf.type1_font(FONT)
        .base_font(Name(b"Helvetica"))
        .encoding_predefined(Name(b"WinAnsiEncoding"));
    pdf.stream(TEXT, &drawn(label));
    pdf.finish()
}

fn drawn(label: &Label) -> Vec<u8> {
    let mut content = Content::new();
    let mut y = HEIGHT - MARGIN;
    let mut line = |content: &mut Content, size: f32, text: &str| {
        y -= size * 1.4;
        write(content, size, y, text);
    };
    line(&mut content, SMALL, "FROM");
    for text in &label.from {
        line(&mut content, SMALL, text);
    }
    line(&mut content, SMALL, "");
    line(&mut content, SMALL, "SHIP TO");
    for text in WAREHOUSE {
        line(&mut content, LARGE, text);
    }
    line(&mut content, SMALL, "");
    line(&mut content, LARGE, &label.method);
    line(&mut content, SMALL, &format!("Order {}", label.order_id));
    line(&mut content, SMALL, &format!("Return {}", label.return_id));
    line(&mut content, SMALL, &format!("Send by {}", label.return_by));
    let code = label.return_id.split('-').next().unwrap_or_default().to_ascii_uppercase();
    bars(&mut content, &code);
    write(&mut content, SMALL, MARGIN, &code);
    content.finish().to_vec()
}

fn write(content: &mut Content, size: f32, y: f32, text: &str) {
    content.begin_text().set_font(FONT_NAME, size);
    content.next_line(MARGIN, y).show(Str(&latin(text))).end_text();
}

/// As the font encodes it; it has no other letters than those of western Europe.
fn latin(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(c).ok().filter(|_| !c.is_control()).unwrap_or(b'?')).collect()
}

/// Code 39, between its start and stop signs.
fn bars(content: &mut Content, code: &str) {
    let mut x = MARGIN;
    for sign in std::iter::once('*').chain(code.chars()).chain(['*']) {
        for (at, width) in pattern(sign).chars().enumerate() {
            let width = if width == 'w' { WIDE } else { NARROW };
            // Bars and gaps take turns, and a bar is first.
            if at % 2 == 0 {
                content.rect(x, MARGIN + LARGE, width, BAR_HEIGHT);
            }
            x += width;
        }
        x += NARROW;
    }
    content.fill_nonzero();
}

/// Narrow and wide, bar, gap, bar, …: of the signs that an id has.
const fn pattern(sign: char) -> &'static str {
    match sign {
        '0' => "nnnwwnwnn",
        '1' => "wnnwnnnnw",
        '2' => "nnwwnnnnw",
        '3' => "wnwwnnnnn",
        '4' => "nnnwwnnnw",
        '5' => "wnnwwnnnn",
        '6' => "nnwwwnnnn",
        '7' => "nnnwnnwnw",
        '8' => "wnnwnnwnn",
        '9' => "nnwwnnwnn",
        'A' => "wnnnnwnnw",
        'B' => "nnwnnwnnw",
        'C' => "wnwnnwnnn",
        'D' => "nnnnwwnnw",
        'E' => "wnnnwwnnn",
        'F' => "nnwnwwnnn",
        '*' => "nwnnwnwnn",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label() -> Label {
        Label {
            return_id: "12345678-abcd-4fab-8234-abcde1234567".to_owned(),
            order_id: "112-1234567-7272727".to_owned(),
            method: "UPS Dropoff".to_owned(),
            return_by: "2018-02-01".to_owned(),
            from: vec!["Zoë (Tim) Beaver \\".to_owned(), "東京 1".to_owned()],
        }
    }

    #[test]
    fn a_label_is_a_page_that_a_reader_can_read() {
        let file = lopdf::Document::load_mem(&pdf(&label())).unwrap();
        assert_eq!(file.get_pages().len(), 1);
        let text = file.extract_text(&[1]).unwrap();
        for part in [
            "Zoë (Tim) Beaver \\",
            "?? 1",
            "Sandbox Returns",
            "UPS Dropoff",
            "Order 112-1234567-7272727",
            "Return 12345678-abcd-4fab-8234-abcde1234567",
            "Send by 2018-02-01",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn every_sign_of_an_id_has_three_wide_of_nine_and_fits_the_page() {
        for sign in "0123456789ABCDEF*".chars() {
            let pattern = pattern(sign);
            assert_eq!(pattern.len(), 9, "{sign}");
            assert_eq!(pattern.matches('w').count(), 3, "{sign}");
        }
        let one = 3.0 * WIDE + 7.0 * NARROW;
        assert!(10.0 * one + 2.0 * MARGIN <= WIDTH);
    }
}
