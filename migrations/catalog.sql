-- What this database is made of, one line for each object: `class name: attributes`. No migration: `ledger audit verify` runs it
-- and compares the answer with catalog.txt, which a test makes of a database that was just migrated. Whoever runs it has set
-- search_path to pg_catalog, so every other name stands with its schema.
--
-- Everything that somebody has made, in whatever schema, is told: only what came with PostgreSQL itself (an oid below 16384) is
-- not, nor temporary things, nor the C functions, types and operators of an extension, which is named instead. Of what came
-- with PostgreSQL, what was given to anybody beyond what it came with is told.
WITH the AS MATERIALIZED (
    SELECT d.oid AS database, d.datdba, coalesce((SELECT relowner FROM pg_class WHERE oid = to_regclass('public.ledger_head')), d.datdba) AS owner
      FROM pg_database d WHERE d.datname = current_database()
), product AS MATERIALIZED (
    SELECT oid, rolname FROM pg_roles WHERE rolname IN ('ledger_serve', 'ledger_worker', 'ledger_auditor')
), who AS MATERIALIZED (
    -- What belongs to whoever owns the database belongs to the owner, if the database does: that is a line of its own.
    SELECT r.oid, CASE WHEN r.oid = the.owner OR r.rolname = 'pg_database_owner' THEN 'owner' ELSE quote_ident(r.rolname) END AS name
      FROM pg_roles r, the
    UNION ALL SELECT 0, 'PUBLIC'
), spaces AS MATERIALIZED (
    SELECT oid, nspname, nspowner, nspacl FROM pg_namespace
     WHERE nspname NOT LIKE 'pg\_temp\_%' AND nspname NOT LIKE 'pg\_toast%'
), of_extension AS MATERIALIZED (
    SELECT d.classid, d.objid, e.extname FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
     WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
), relations AS MATERIALIZED (
    SELECT c.*, format('%I.%I', n.nspname, c.relname) AS name
      FROM pg_class c JOIN spaces n ON n.oid = c.relnamespace WHERE c.oid >= 16384
), functions AS MATERIALIZED (
    SELECT p.*, l.lanname, p.oid::regprocedure::text AS name
      FROM pg_proc p JOIN spaces n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
     WHERE p.oid >= 16384 AND NOT (l.lanname = 'c' AND EXISTS (
           SELECT FROM of_extension x
            WHERE x.classid = 'pg_proc'::regclass AND x.objid = p.oid AND p.probin = '$libdir/' || x.extname))
), given (object, owner, acl) AS MATERIALIZED (
    SELECT 'database', the.owner, coalesce(d.datacl, acldefault('d', d.datdba)) FROM pg_database d JOIN the ON the.database = d.oid
    UNION ALL SELECT format('schema %I', nspname), nspowner, coalesce(nspacl, acldefault('n', nspowner)) FROM spaces WHERE oid >= 16384 OR nspname = 'public'
    UNION ALL SELECT format('table %s', name), relowner, relacl FROM relations
    UNION ALL SELECT format('column %s.%I', name, a.attname), relowner, a.attacl
                FROM relations JOIN pg_attribute a ON a.attrelid = relations.oid
    UNION ALL SELECT format('function %s', name), proowner, coalesce(proacl, acldefault('f', proowner)) FROM functions
    UNION ALL SELECT format('type %s', oid::regtype), typowner, typacl FROM pg_type WHERE oid >= 16384
    UNION ALL SELECT format('language %I', lanname), lanowner, lanacl FROM pg_language
    UNION ALL SELECT format('server %I', srvname), srvowner, srvacl FROM pg_foreign_server
    UNION ALL SELECT format('wrapper %I', fdwname), fdwowner, fdwacl FROM pg_foreign_data_wrapper
), grants AS MATERIALIZED (
    SELECT object, a.grantee, a.privilege_type, a.is_grantable FROM given, aclexplode(given.acl) a WHERE a.grantee <> given.owner
    UNION ALL
    SELECT format('parameter %I', p.parname), a.grantee, a.privilege_type, a.is_grantable
      FROM pg_parameter_acl p, aclexplode(p.paracl) a WHERE a.grantee = 0 OR a.grantee IN (SELECT oid FROM product)
    UNION ALL
    -- Of PostgreSQL's own, only what they did not come with.
    SELECT format('function %s', p.oid::regprocedure), a.grantee, a.privilege_type, a.is_grantable
      FROM pg_proc p, aclexplode(p.proacl) a
     WHERE p.oid < 16384 AND a.grantee <> p.proowner AND NOT EXISTS (
           SELECT FROM aclexplode(coalesce((SELECT i.initprivs FROM pg_init_privs i
                                             WHERE i.classoid = 'pg_proc'::regclass AND i.objoid = p.oid AND i.objsubid = 0),
                                           acldefault('f', p.proowner))) b
            WHERE b.grantee = a.grantee AND b.privilege_type = a.privilege_type)
    UNION ALL
    SELECT format('table %s', c.oid::regclass), a.grantee, a.privilege_type, a.is_grantable
      FROM pg_class c, aclexplode(c.relacl) a
     WHERE c.oid < 16384 AND c.relnamespace = 'pg_catalog'::regnamespace AND a.grantee <> c.relowner AND NOT EXISTS (
           SELECT FROM aclexplode((SELECT i.initprivs FROM pg_init_privs i
                                    WHERE i.classoid = 'pg_class'::regclass AND i.objoid = c.oid AND i.objsubid = 0)) b
            WHERE b.grantee = a.grantee AND b.privilege_type = a.privilege_type)
), lines (line) AS (
    SELECT format('database: owner=%s template=%s', coalesce(w.name, d.datdba::text), d.datistemplate)
      FROM pg_database d JOIN the ON the.database = d.oid LEFT JOIN who w ON w.oid = d.datdba
    UNION ALL
    SELECT format('schema %I: owner=%s', nspname, w.name) FROM spaces LEFT JOIN who w ON w.oid = nspowner
     WHERE spaces.oid >= 16384 OR nspname = 'public'
    UNION ALL
    SELECT format('extension %I: schema=%I', extname, n.nspname) FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace
    UNION ALL
    SELECT format('relation %s: kind=%s owner=%s persistence=%s security=%s%s options=%s%s', r.name, r.relkind, w.name, r.relpersistence,
                  r.relrowsecurity, CASE WHEN r.relforcerowsecurity THEN ' forced' END, array_to_string(r.reloptions, ','),
                  CASE WHEN r.relkind IN ('v', 'm') THEN ' as=' || encode(sha256(convert_to(pg_get_viewdef(r.oid), 'UTF8')), 'hex') END)
      FROM relations r LEFT JOIN who w ON w.oid = r.relowner WHERE r.relkind NOT IN ('i', 'I')
    UNION ALL
    SELECT format('inheritance %s: from=%s', i.inhrelid::regclass, i.inhparent::regclass) FROM pg_inherits i
    UNION ALL
    SELECT format('column %s.%I: %s type=%s%s%s%s%s', r.name, a.attname,
                  row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum), format_type(a.atttypid, a.atttypmod),
                  CASE WHEN a.attnotnull THEN ' not null' END, CASE WHEN a.attidentity <> '' THEN format(' identity=%s', a.attidentity) END,
                  CASE WHEN a.attgenerated <> '' THEN format(' generated=%s', a.attgenerated) END,
                  (SELECT ' default=' || pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum))
      FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid
     WHERE a.attnum > 0 AND NOT a.attisdropped AND r.relkind NOT IN ('i', 'I')
    UNION ALL
    SELECT format('constraint %s %I: valid=%s %s', coalesce(r.name, c.contypid::regtype::text), c.conname, c.convalidated, pg_get_constraintdef(c.oid))
      FROM pg_constraint c LEFT JOIN relations r ON r.oid = c.conrelid
     WHERE c.oid >= 16384 AND c.contype NOT IN ('t', 'n') AND (r.oid IS NOT NULL OR c.contypid <> 0)
    UNION ALL
    SELECT format('index %s: valid=%s ready=%s live=%s immediate=%s owner=%s %s', r.name, i.indisvalid, i.indisready, i.indislive, i.indimmediate,
                  w.name, pg_get_indexdef(i.indexrelid))
      FROM relations r JOIN pg_index i ON i.indexrelid = r.oid LEFT JOIN who w ON w.oid = r.relowner
    UNION ALL
    SELECT format('trigger %s %I: enabled=%s %s', t.tgrelid::regclass, t.tgname, t.tgenabled, pg_get_triggerdef(t.oid))
      FROM pg_trigger t WHERE NOT t.tgisinternal
    UNION ALL
    SELECT format('rule %s %I: enabled=%s %s', w.ev_class::regclass, w.rulename, w.ev_enabled, pg_get_ruledef(w.oid))
      FROM pg_rewrite w WHERE w.oid >= 16384 AND w.rulename <> '_RETURN'
    UNION ALL
    SELECT format('policy %s %I: for=%s permissive=%s to=%s using=%s check=%s', p.polrelid::regclass, p.polname, p.polcmd, p.polpermissive,
                  (SELECT string_agg(w.name, ',' ORDER BY w.name) FROM who w WHERE w.oid = ANY(p.polroles)),
                  pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
      FROM pg_policy p
    UNION ALL
    SELECT format('function %s: returns=%s arguments=(%s) kind=%s language=%s definer=%s strict=%s volatility=%s parallel=%s leakproof=%s config=%s owner=%s body=%s%s',
                  f.name, pg_get_function_result(f.oid), pg_get_function_arguments(f.oid), f.prokind, f.lanname, f.prosecdef, f.proisstrict,
                  f.provolatile, f.proparallel, f.proleakproof, array_to_string(f.proconfig, ';'), w.name,
                  encode(sha256(convert_to(coalesce(pg_get_function_sqlbody(f.oid), f.prosrc), 'UTF8')), 'hex'), ' library=' || f.probin)
      FROM functions f LEFT JOIN who w ON w.oid = f.proowner
    UNION ALL
    SELECT format('type %s: kind=%s owner=%s %s', t.oid::regtype, t.typtype, w.name,
                  coalesce((SELECT string_agg(quote_literal(e.enumlabel), ',' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid),
                           CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END))
      FROM pg_type t JOIN spaces n ON n.oid = t.typnamespace LEFT JOIN who w ON w.oid = t.typowner
     WHERE t.oid >= 16384 AND t.typrelid = 0 AND t.typcategory <> 'A'
       AND NOT EXISTS (SELECT FROM of_extension x WHERE x.classid = 'pg_type'::regclass AND x.objid = t.oid)
    UNION ALL
    SELECT format('operator %s: by=%s', o.oid::regoperator, o.oprcode) FROM pg_operator o
     WHERE o.oid >= 16384 AND NOT EXISTS (SELECT FROM of_extension x WHERE x.classid = 'pg_operator'::regclass AND x.objid = o.oid)
    UNION ALL
    SELECT format('operator class %I.%I: for=%s default=%s', n.nspname, o.opcname, o.opcintype::regtype, o.opcdefault)
      FROM pg_opclass o JOIN pg_namespace n ON n.oid = o.opcnamespace
     WHERE o.oid >= 16384 AND NOT EXISTS (SELECT FROM of_extension x WHERE x.classid = 'pg_opclass'::regclass AND x.objid = o.oid)
    UNION ALL
    SELECT format('cast %s as %s: by=%s context=%s method=%s', c.castsource::regtype, c.casttarget::regtype, c.castfunc::regproc, c.castcontext, c.castmethod)
      FROM pg_cast c
     WHERE c.oid >= 16384 AND NOT EXISTS (SELECT FROM of_extension x WHERE x.classid = 'pg_cast'::regclass AND x.objid = c.oid)
    UNION ALL
    SELECT format('conversion %I.%I: by=%s', n.nspname, c.conname, c.conproc) FROM pg_conversion c JOIN pg_namespace n ON n.oid = c.connamespace WHERE c.oid >= 16384
    UNION ALL
    SELECT format('language %I: trusted=%s', lanname, lanpltrusted) FROM pg_language WHERE oid >= 16384
    UNION ALL
    SELECT format('access method %I: by=%s', amname, amhandler) FROM pg_am WHERE oid >= 16384
    UNION ALL
    SELECT format('wrapper %I: owner=%s', fdwname, w.name) FROM pg_foreign_data_wrapper LEFT JOIN who w ON w.oid = fdwowner
    UNION ALL
    SELECT format('server %I: owner=%s', srvname, w.name) FROM pg_foreign_server LEFT JOIN who w ON w.oid = srvowner
    UNION ALL
    SELECT format('user mapping %I %s: ', m.srvname, coalesce(w.name, 'PUBLIC')) FROM pg_user_mappings m LEFT JOIN who w ON w.oid = m.umuser
    UNION ALL
    SELECT format('event trigger %I: on=%s enabled=%s by=%s owner=%s', e.evtname, e.evtevent, e.evtenabled, e.evtfoid::regprocedure, w.name)
      FROM pg_event_trigger e LEFT JOIN who w ON w.oid = e.evtowner
    UNION ALL
    SELECT format('publication %I: all=%s', pubname, puballtables) FROM pg_publication
    UNION ALL
    SELECT format('subscription %I: enabled=%s', s.subname, s.subenabled) FROM pg_subscription s JOIN the ON the.database = s.subdbid
    UNION ALL
    SELECT format('grant %s %s: %s', object, coalesce(w.name, grantee::text),
                  string_agg(privilege_type || CASE WHEN is_grantable THEN ' and pass it on' ELSE '' END, ', ' ORDER BY privilege_type))
      FROM grants LEFT JOIN who w ON w.oid = grants.grantee GROUP BY object, w.name, grantee
    UNION ALL
    SELECT format('default grant %s %s in %s: %s', w.name, d.defaclobjtype, coalesce(quote_ident(n.nspname), 'any schema'),
                  (SELECT string_agg(format('%s to %s', a.privilege_type, g.name), ', ' ORDER BY a.privilege_type, g.name)
                     FROM aclexplode(d.defaclacl) a JOIN who g ON g.oid = a.grantee))
      FROM pg_default_acl d LEFT JOIN who w ON w.oid = d.defaclrole LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace
    UNION ALL
    SELECT format('role %s: superuser=%s inherit=%s createrole=%s createdb=%s login=%s replication=%s bypassrls=%s', quote_ident(r.rolname),
                  r.rolsuper, r.rolinherit, r.rolcreaterole, r.rolcreatedb, r.rolcanlogin, r.rolreplication, r.rolbypassrls)
      FROM pg_roles r WHERE r.oid IN (SELECT oid FROM product)
    UNION ALL
    -- Who is a member of a login, or a login of anything; and who may act as the owner, or write whatever he likes.
    SELECT format('member %s of %s: %s', coalesce(m.name, a.member::text), coalesce(r.name, a.roleid::text),
                  CASE WHEN bool_or(a.admin_option) THEN 'and pass it on' ELSE 'is' END)
      FROM pg_auth_members a JOIN the ON true LEFT JOIN who m ON m.oid = a.member LEFT JOIN who r ON r.oid = a.roleid
     WHERE a.member IN (SELECT oid FROM product) OR a.roleid = the.owner
        -- Since PostgreSQL 16, who made a role may give it to others; the owner may do anything here in any case.
        OR (a.member <> the.owner AND a.roleid IN (SELECT oid FROM product))
        OR a.roleid IN (SELECT oid FROM pg_roles WHERE rolname IN ('pg_write_all_data', 'pg_read_all_data', 'pg_write_server_files',
                                                                   'pg_read_server_files', 'pg_execute_server_program'))
     GROUP BY m.name, a.member, r.name, a.roleid
    UNION ALL
    SELECT format('setting %s %s: %s', CASE WHEN s.setdatabase = 0 THEN 'any database' ELSE 'this database' END,
                  CASE WHEN s.setrole = 0 THEN 'any role' ELSE w.name END, array_to_string(s.setconfig, ';'))
      FROM pg_db_role_setting s JOIN the ON s.setdatabase IN (0, the.database) LEFT JOIN who w ON w.oid = s.setrole
     WHERE s.setrole IN (0, the.owner) OR s.setrole IN (SELECT oid FROM product)
)
SELECT line FROM lines ORDER BY line COLLATE "C"
