//! What a reader sees of a part in HTML: its visible text, and where its links lead.

use html5gum::{HtmlString, StartTag, Token, Tokenizer};

/// A part in HTML, read.
pub struct Page {
    /// The text that shows, with an empty line between blocks.
    pub text: String,
    /// The addresses of its links, visible or not, with entities decoded.
    pub links: Vec<String>,
}

/// More open elements than any mail has. What stands deeper does not show.
const MAX_DEPTH: usize = 128;

/// Elements without an end tag.
const VOID: [&[u8]; 13] = [
    b"area", b"base", b"br", b"col", b"embed", b"hr", b"img", b"input", b"link", b"meta",
    b"source", b"track", b"wbr",
];

/// Elements whose content is no text of the mail.
const SILENT: [&[u8]; 14] = [
    b"head",
    b"title",
    b"style",
    b"script",
    b"template",
    b"noscript",
    b"iframe",
    b"object",
    b"svg",
    b"math",
    b"select",
    b"textarea",
    b"noembed",
    b"noframes",
];

/// Elements that stand in a line; all others begin a line of their own.
const INLINE: [&[u8]; 29] = [
    b"a", b"abbr", b"acronym", b"b", b"bdi", b"bdo", b"big", b"cite", b"code", b"del", b"dfn",
    b"em", b"font", b"i", b"img", b"ins", b"kbd", b"label", b"mark", b"q", b"s", b"small", b"span",
    b"strike", b"strong", b"sub", b"sup", b"tt", b"u",
];

/// Ways to hide text in a `style`, without spaces and in lower case. Style sheets are not read: they hide by the width
/// of the screen, and a code that is hidden from some readers only is still a code.
const HIDING: [&str; 14] = [
    "display:none",
    "visibility:hidden",
    "visibility:collapse",
    "mso-hide:all",
    "font-size:0",
    "font-size:1px",
    "line-height:0",
    "max-height:0",
    "max-width:0",
    "opacity:0",
    "color:transparent",
    "text-indent:-",
    "content-visibility:hidden",
    "clip:rect(0",
];

/// Reads `html`. Any text is HTML.
pub fn read(html: &str) -> Page {
    let mut reader =
        Reader { page: Page { text: String::new(), links: Vec::new() }, open: Vec::new() };
    for token in Tokenizer::new(html) {
        let Ok(token) = token;
        match token {
            Token::StartTag(tag) => reader.start(&tag),
            Token::EndTag(tag) => reader.end(&tag.name),
            Token::String(text) => reader.text(&String::from_utf8_lossy(&text)),
            Token::Comment(_) | Token::Doctype(_) | Token::Error(_) => {}
        }
    }
    reader.page
}

struct Reader {
    page: Page,
    open: Vec<Open>,
}

/// An element whose end tag was not seen yet.
struct Open {
    name: Vec<u8>,
    /// It stands in a line.
    is_inline: bool,
    /// It, or one that it stands in, does not show.
    is_hidden: bool,
}

impl Reader {
    fn start(&mut self, tag: &StartTag<()>) {
        let name = tag.name.as_slice();
        if (name == b"a" || name == b"area")
            && let Some(link) = attribute(tag, b"href")
        {
            self.page.links.push(link.trim().to_owned());
        }
        if name == b"br" {
            self.page.text.push('\n');
        } else if !is_one_of(name, &INLINE) {
            self.block();
        }
        if is_one_of(name, &VOID) {
            return;
        }
        let is_hidden = self.is_hidden() || self.open.len() >= MAX_DEPTH || hides(tag);
        // Beyond the limit an end tag may close the wrong element, and all of it is hidden.
        if self.open.len() < MAX_DEPTH * 2 {
            let is_inline = is_one_of(name, &INLINE);
            self.open.push(Open { name: name.to_vec(), is_inline, is_hidden });
        }
    }

    /// Closes the innermost element of this name, and what was left open in it. As in a browser, the end of an element
    /// that stands in a line closes nothing beyond the block it stands in.
    fn end(&mut self, name: &HtmlString) {
        let name = name.as_slice();
        let is_inline = is_one_of(name, &INLINE);
        if !is_inline {
            self.block();
        }
        let mut inside = self.open.iter().rev();
        let position = inside.position(|open| open.name == name || (is_inline && !open.is_inline));
        let Some(index) = position.and_then(|position| self.open.len().checked_sub(position + 1))
        else {
            return;
        };
        if self.open.get(index).is_some_and(|open| open.name == name) {
            self.open.truncate(index);
        }
    }

    fn text(&mut self, text: &str) {
        if !self.is_hidden() {
            self.page.text.push_str(&text.replace(['\r', '\n'], " "));
        }
    }

    fn block(&mut self) {
        if !self.page.text.is_empty() && !self.page.text.ends_with("\n\n") {
            self.page.text.push_str("\n\n");
        }
    }

    fn is_hidden(&self) -> bool {
        self.open.last().is_some_and(|open| open.is_hidden)
    }
}

fn is_one_of(name: &[u8], names: &[&[u8]]) -> bool {
    names.contains(&name)
}

fn attribute(tag: &StartTag<()>, name: &[u8]) -> Option<String> {
    let value = tag.attributes.get(name)?;
    Some(String::from_utf8_lossy(value).into_owned())
}

fn hides(tag: &StartTag<()>) -> bool {
    let style = attribute(tag, b"style").unwrap_or_default().to_lowercase();
    let style: String = without_comments(&style).chars().filter(|c| !c.is_whitespace()).collect();
    // `opacity:0.9` and `max-width:0` differ by what follows.
    let hidden = style.split(';').any(|rule| {
        let rule = rule.trim_end_matches("!important");
        HIDING.iter().any(|hiding| rule == *hiding || is_nothing(rule, hiding))
    });
    hidden
        || is_one_of(&tag.name, &SILENT)
        || attribute(tag, b"hidden").is_some()
        || attribute(tag, b"aria-hidden").is_some_and(|value| value == "true")
        || (tag.name.as_slice() == b"font"
            && attribute(tag, b"size").is_some_and(|size| size == "0"))
}

/// Whether `rule` is `hiding` with a unit, or goes on as only a hiding one does.
fn is_nothing(rule: &str, hiding: &str) -> bool {
    let Some(rest) = rule.strip_prefix(hiding) else { return false };
    if hiding.ends_with(['-', '(']) || hiding.ends_with("rect(0") {
        return true;
    }
    let rest = rest.trim_start_matches(['.', '0']);
    hiding.ends_with('0') && ["", "px", "pt", "em", "rem", "%", "vh", "vw"].contains(&rest)
}

/// `display:/**/none` is `display:none`.
fn without_comments(style: &str) -> String {
    let mut kept = String::with_capacity(style.len());
    let mut rest = style;
    while let Some((before, comment)) = rest.split_once("/*") {
        kept.push_str(before);
        rest = comment.split_once("*/").map_or("", |(_, after)| after);
    }
    kept.push_str(rest);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(html: &str) -> String {
        read(html).text.trim().to_owned()
    }

    #[test]
    fn blocks_are_lines_and_entities_are_characters() {
        let html = "<html><head><title>t</title><style>p{}</style></head><body><p>Your code&nbsp;is\r\n<b>12</b>3456</p>\
                    <table><tr><td>a</td><td>b&amp;c</td></tr></table>x<br>y</body></html>";
        assert_eq!(text(html), "Your code\u{a0}is 123456\n\na\n\nb&c\n\nx\ny");
    }

    #[test]
    fn hidden_text_does_not_show() {
        for hidden in [
            "<div style='display:none'>X</div>",
            "<DIV STYLE='Display : None !important'>X</DIV>",
            "<span style='color:red; font-size:0px'>X</span>",
            "<span style='font-size:0.0em'>X</span>",
            "<p style='opacity:0'>X</p>",
            "<p style='display:/* */none'>X</p>",
            "<p style='max-height:0;overflow:hidden'>X</p>",
            "<p style='text-indent:-9999px'>X</p>",
            "<p hidden>X</p>",
            "<font size=0>X</font>",
            "<div style=display:none><b><p>X</b></p></div>",
            "<span style='display:none'><div></span>X</div></span>",
            "<div style=display:none>X",
            "<!-- X -->",
            "<!--> <script>X</script>",
            "<title>X",
            "<style>X</style>",
            "<template>X</template>",
            "<textarea>X</textarea>",
        ] {
            assert!(!read(hidden).text.contains('X'), "{hidden}");
        }
    }

    #[test]
    fn visible_text_shows() {
        for visible in [
            "<div style='display:none'>a</div>X",
            "<p style='opacity:0.9'>X</p>",
            "<p style='font-size:0.9em;line-height:1'>X</p>",
            "<p style='max-width:600px'>X</p>",
            "<div style='display:none'>a<img>b<br></div></p></p>X",
            "<b>X",
            "</b>X",
            "<p><b>a</p>X</b>",
        ] {
            assert!(read(visible).text.contains('X'), "{visible}");
        }
    }

    #[test]
    fn links_are_decoded() {
        let page = read("<a href=' https://a.example/?a=1&amp;b=2 '>x</a><AREA HREF=/y><a name=z>");
        assert_eq!(page.links, ["https://a.example/?a=1&b=2", "/y"]);
    }

    #[test]
    fn what_stands_too_deep_does_not_show_and_takes_no_time() {
        let deep = format!("{}X{}", "<div>".repeat(200_000), "</div>".repeat(200_000));
        assert_eq!(text(&deep), "");
        let deep = format!("{}X", "<b></i>".repeat(100_000));
        assert_eq!(text(&deep), "");
    }
}
