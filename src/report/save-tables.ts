/**
 * The page's only script: a button under each table that saves it as CSV, with the exact values behind the displayed numbers. Without
 * scripts the page lacks these buttons and nothing else.
 */
export const SAVE_TABLES: string = `
for (const table of document.querySelectorAll('main table')) {
  const button = document.createElement('button');
  button.type = 'button';
  button.className = 'csv';
  button.textContent = 'Save as CSV';
  const caption = table.caption ? table.caption.textContent.trim() : 'table';
  button.setAttribute('aria-label', 'Save as CSV: ' + caption);
  button.addEventListener('click', () => {
    const cell = (c) => {
      const values = [...c.querySelectorAll('data')].map((d) => d.value);
      const text = values.length > 0 ? values.join(' ') : c.textContent.trim();
      return /[",\\r\\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
    };
    const csv = [...table.rows].map((row) => [...row.cells].map(cell).join(',')).join('\\r\\n') + '\\r\\n';
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([csv], { type: 'text/csv' }));
    link.download = caption.toLowerCase().replace(/[^a-z0-9]+/g, '-').slice(0, 60) + '.csv';
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
  (table.closest('.scroll') || table).after(button);
}
`;
