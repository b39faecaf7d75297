# Render the page after success, NO-GO or a crash.


onsuccess:
    shell("safe report {RUN.folder:q}")


onerror:
    shell("safe report {RUN.folder:q}")
