"""What people and programs read: tables, documents and notes made from the outcome; knows no torch."""
