//! Rows under each other, columns aligned, wide characters counted as wide.

use unicode_width::UnicodeWidthStr;

use crate::plan::render::text::visible;

/// Aligned rows: two spaces between columns, none at the end of a line.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
    indent: usize,
}

impl Table {
    /// A table whose lines begin with so many spaces.
    pub(crate) fn indented(indent: usize) -> Self {
        Self {
            rows: Vec::new(),
            indent,
        }
    }

    /// Adds a row. Rows may have different lengths.
    pub(crate) fn row<S: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows
            .push(cells.into_iter().map(|cell| visible(cell.as_ref())).collect());
    }

    /// The lines, each with its end.
    pub(crate) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.width())
                .max()
        };
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        let mut out = String::new();
        for row in &self.rows {
            let mut line = " ".repeat(self.indent);
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(cell);
                line.extend(std::iter::repeat_n(' ', width - cell.width() + 2));
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_what_is_seen() {
        let mut table = Table::indented(2);
        table.row(["NAME", "CHANNEL", "STATE"]);
        table.row(["telegram", "频道", "✓ Active"]);
        table.row(["b", "", "✗ Inactive"]);
        table.row(["only"]);
        table.row(["a\u{1b}[2J", "x"]);
        insta::assert_snapshot!(table.render(), @r"
          NAME        CHANNEL  STATE
          telegram    频道     ✓ Active
          b                    ✗ Inactive
          only
          a\u{1b}[2J  x
        ");
        assert_eq!(Table::default().render(), "");
    }
}
